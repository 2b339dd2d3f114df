"""The way to slixmpp's client, for those who use it: neither it nor asyncio is imported before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from amoc.xmpp.slixmpp.stanza_classes import preload

if TYPE_CHECKING:
    from slixmpp import ClientXMPP

    from amoc.xmpp.slixmpp.bridged_client import SlixmppClient

    C = TypeVar("C", bound=ClientXMPP)


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
