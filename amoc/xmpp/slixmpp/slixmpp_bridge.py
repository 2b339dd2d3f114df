"""slixmpp's stanza classes around received trees, and the way to its client: on demand.

slixmpp takes 0.1 s of CPU to import, so it is imported only when it is needed; the supervisor calls
`preload` before it forks, and all workers share it.

One of its dependencies, a DNS resolver, makes a queue when it is imported; under gevent's patches
that queue creates a hub, and a hub must not be forked. amoc resolves names itself, so
slixmpp is imported without it, and then thinks it is not installed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.wire.namespaces import IQ, MESSAGE, PRESENCE

if TYPE_CHECKING:
    from types import ModuleType

    from slixmpp import ClientXMPP
    from slixmpp.xmlstream import StanzaBase

    from amoc.xmpp.slixmpp.bridged_client import SlixmppClient

    C = TypeVar("C", bound=ClientXMPP)

_RESOLVER = "aiodns"


def preload() -> ModuleType:
    """Import slixmpp without creating a gevent hub; does nothing the second time."""
    already = sys.modules.get("slixmpp")
    if already is not None:
        return already
    hidden = _RESOLVER not in sys.modules
    if hidden:
        sys.modules[_RESOLVER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import slixmpp
    finally:
        if hidden:
            del sys.modules[_RESOLVER]
    return slixmpp


def to_slixmpp(xml: Element) -> StanzaBase:
    """Slixmpp's stanza around the tree `xml`.

    Raises:
        ScenarioError: It is no message, presence or iq.
    """
    slixmpp = preload()
    classes = {MESSAGE: slixmpp.Message, PRESENCE: slixmpp.Presence, IQ: slixmpp.Iq}
    found = classes.get(xml.tag)
    if found is None:
        raise ScenarioError(f"only a message, presence or iq can become slixmpp's, got {xml.tag}")
    return found(xml=xml, recv=True)  # type: ignore[no-any-return]


def slixmpp_client(
    kind: type[C],
    user_id: int | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    domain: str | None = None,
    server: str | None = None,
    tls: str | None = None,
    mechanism: str | None = None,
    timeout: float | None = None,
    attempts: int | None = None,
    **arguments: Any,
) -> SlixmppClient[C]:
    """Log in with a client of slixmpp's; use what this returns in a ``with`` block.

    It is for what amoc's own client lacks, or for a class that you have already: it costs several
    times the CPU and memory. It runs in asyncio, in one greenlet for all of a worker, with one SSL
    context and amoc's SCRAM. Call it by `run`; its handlers await and must not wait. What they
    raise ends the user.

    Args:
        kind: ``slixmpp.ClientXMPP`` or a subclass, which is called with a JID, a password and
            `arguments`.
        user_id: As in `connect`, like all that follow.
        username: See there.
        password: See there.
        domain: See there.
        server: ``host:port``.
        tls: See `connect`.
        mechanism: See `connect`.
        timeout: See there.
        attempts: See there.
        arguments: For `kind`.

    Raises:
        XmppError: As `connect`.
        ScenarioError: `kind` is none of slixmpp's, or as `connect`.
    """
    preload()
    # asyncio and slixmpp, for those who use them; and what uses this module for stanzas.
    from amoc.xmpp.connection import connecting
    from amoc.xmpp.slixmpp import bridged_client

    plan = connecting.plan_of(
        user_id,
        username=username,
        password=password,
        domain=domain,
        server=server,
        tls=tls,
        mechanism=mechanism,
        timeout=timeout,
    )
    return bridged_client.connect(kind, plan, attempts, arguments)
