"""Entry point to slixmpp's client. Neither it nor asyncio is imported before the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

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
    **arguments: object,
) -> SlixmppClient[C]:
    """Log in with a slixmpp client; use the returned client in a ``with`` block.

    For features that amoc's own client lacks, or for a class that you already have: it costs
    several times the CPU and memory. It runs in asyncio, in one greenlet per worker, with a shared
    SSL context and amoc's SCRAM. Call into it with `run`. Its handlers must await, not wait, and an
    exception that they raise ends the user.

    Args:
        kind: ``slixmpp.ClientXMPP`` or a subclass, which is called with a JID, a password and
            `arguments`.
        user_id: As in `connect`.
        username: As in `connect`.
        password: As in `connect`.
        domain: As in `connect`.
        server: ``host:port``.
        tls: As in `connect`.
        mechanism: As in `connect`.
        timeout: As in `connect`.
        attempts: As in `connect`.
        arguments: Keyword arguments for `kind`.

    Raises:
        XmppError: As `connect`.
        ScenarioError: `kind` is not a slixmpp client class, or as `connect`.
    """
    preload()
    from amoc.xmpp.connection.plan import plan_of
    from amoc.xmpp.slixmpp import bridged_client

    plan = plan_of(
        user_id,
        username=username,
        password=password,
        domain=domain,
        server=server,
        tls=tls,
        mechanism=mechanism,
        timeout=timeout,
        attempts=attempts,
    )
    return bridged_client.connect(kind, plan, arguments)
