"""Messages for offline users (XEP-0160): stored until one of the user's clients is available."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.rewrite import with_child
from amoc.xmppd.services import moments
from amoc.xmppd.services.archive import worth_archiving

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain
    from amoc.xmppd.session import Session


def check(domain: Domain, local: str, stanza: bytes) -> None:
    """Check that a message can be stored.

    Raises:
        StanzaFailure: It has no body, there is no such user, or too much is stored already.
    """
    if not local or not worth_archiving(stanza) or not domain.exists(local):
        raise StanzaFailure("service-unavailable")
    user = domain.users.get(f"{local}@{domain.name}")
    waiting = len(user.kept.offline) if user is not None and user.kept is not None else 0
    refuse_if(waiting >= domain.limits.offline, "service-unavailable")


def keep(domain: Domain, local: str, stanza: bytes) -> None:
    """Store a message for a user.

    Raises:
        StanzaFailure: It cannot be stored, see `check`.
    """
    check(domain, local, stanza)
    stanza = with_child(stanza, moments.delay(domain.now_us(), domain.name))
    domain.budget.take(len(stanza))
    domain.user(local).keep().offline.append(stanza)


def deliver(session: Session) -> None:
    """Send a client that has become available the messages stored for its user."""
    kept = session.user.kept
    if kept is None or not kept.offline or session.priority < 0:
        return
    waiting, kept.offline = kept.offline, []
    for stanza in waiting:
        session.domain.budget.give_back(len(stanza))
        session.transport.write(stanza)
    session.domain.counts.messages_routed += len(waiting)
