"""Stream management (XEP-0198): sent stanzas are kept until acknowledged, sessions can be resumed.

A `ManagedEnd` stands between a session with stream management and its transport. When the
connection is lost, a resumable session continues without one: it stays available, and stanzas for
it are kept. Another connection of its user may take it over; both sides then resend what the other
has not handled. After `Limits.resume_s` it ends, and messages that its client has not acknowledged
go to another client of the user, or are stored for one.

What is kept is limited. A connected session with too many unacknowledged stanzas cannot be resumed
any more; one without a connection ends.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire import stream_management as sm
from amoc.xmpp.wire.elements import stream_error
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.parser import Cut, Violation
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd import delivery
from amoc.xmppd.transport import ENDED

if TYPE_CHECKING:
    from amoc.xmppd.session import Session
    from amoc.xmppd.transport import Transport
    from amoc.xmppd.websocket import WebSocketEnd

    Below: TypeAlias = Transport | WebSocketEnd

TAGS: Final = frozenset((sm.ENABLE, sm.RESUME, sm.ACK, sm.REQUEST))
ACK_EVERY: Final = 10
"""Number of stanzas after which a client is asked for an acknowledgement."""

_REDELIVERED: Final = frozenset((None, "normal", "chat"))


class ManagedEnd:
    """A managed session's connection to its client.

    Attributes:
        session: The session; None when it has ended.
        below: The transport; None while there is no connection.
        management: The counters and the unacknowledged stanzas.
    """

    __slots__ = ("below", "management", "session")

    def __init__(self, session: Session, below: Below) -> None:
        self.session: Session | None = session
        self.below: Below | None = below
        self.management = sm.Management()

    # Interface for the session

    def write(self, data: bytes) -> None:
        """Send an element, now or after a reconnect; keep it if it is a stanza."""
        sent = self.management.sent
        for stanza in sm.stanzas_in(data):
            sent.add(stanza)
        if self.below is not None:
            self.below.write(data)
            if sent.unasked >= ACK_EVERY:
                sent.ask()
                self.below.write(sm.REQUEST_BYTES)
        self._limit()

    def finish(self, *last_words: bytes) -> None:
        """Send the last elements if there is a connection."""
        if self.below is not None:
            self.below.finish(*last_words)

    def logged_in(self) -> None:
        """Do nothing: it logged in earlier."""

    can_start_tls = False

    def start_tls(self) -> None:
        """Do nothing: TLS is started before the login."""

    # Interface for the framer of its client's bytes

    def on_header(self, attrs: dict[str, str]) -> None:
        """Handle a stream header."""
        if self.session is not None:
            self.session.on_header(attrs)

    def on_element(self, element: Cut) -> None:
        """Handle a whole child of the stream."""
        if self.session is None:
            return
        tag, attrs, _ = element
        if tag in sm.STANZAS:
            self.session.on_element(element)
            self.management.handle()
        elif tag == sm.REQUEST:
            if self.below is not None:
                self.below.write(self.management.ack())
        elif tag == sm.ACK:
            h = sm.h_of(attrs.get("h"))
            if self.management.id:
                self.management.sent.acknowledge(h)
        else:
            self.session.on_element(element)

    def on_close(self) -> None:
        """Handle the end of the client's stream."""
        if self.session is not None:
            self.session.on_close()

    # Loss and resumption

    def lose(self) -> bool:
        """Handle the loss of the connection; return whether the session can be resumed."""
        session = self.session
        if session is None or not self.management.id:
            return False
        domain = session.domain
        if len(domain.hibernating) >= domain.limits.hibernating:
            return False
        self.below = None
        session.framer.close()
        domain.hibernating.restart(session)
        return True

    def take_over(self, newcomer: Session) -> None:
        """Continue with the connection of `newcomer`, whose user has just logged in."""
        session = self.session
        assert session is not None
        if self.below is not None:
            self.below.session = cast("Session", ENDED)
            text = "the stream was resumed on another connection"
            self.below.finish(stream_error("conflict", text), session.framer.ending())
        session.domain.hibernating.discard(session)
        session.framer = newcomer.framer
        session.framer.limit(session.domain.limits.stanza_bytes)
        self.below = cast("Below", newcomer.transport)
        self.below.session = session
        self.below.logged_in()
        self.below.write(_answer("resumed", h=self.management.handled, previd=self.management.id))
        for stanza in self.management.sent.stanzas:
            self.below.write(stanza)
        session.domain.counts.resumed += 1

    def end(self) -> None:
        """End with the session; messages that its client may not have go elsewhere."""
        session, self.session = self.session, None
        if session is None:
            return
        domain = session.domain
        domain.resumable.pop(self.management.id, None)
        domain.hibernating.discard(session)
        if self.below is not None:
            return
        for stanza in self.management.sent.stanzas:
            tag, attrs, raw = domain.parsers.read(stanza)
            if tag == MESSAGE and attrs.get("type") in _REDELIVERED:
                delivery.to_user(domain, session.user.jid, raw)
            elif tag == MESSAGE:
                domain.counts.messages_dropped += 1

    def _limit(self) -> None:
        session, sent = self.session, self.management.sent
        if session is None:
            return
        limits = session.domain.limits
        if len(sent) <= limits.unacknowledged and sent.size <= limits.queue_bytes:
            return
        if self.below is None:
            # Deferred: the caller may be writing to many, and ending one session writes to others.
            session.domain.overflowed.add(session)
        elif self.management.id:
            session.domain.resumable.pop(self.management.id, None)
            self.management.id = ""
        if not self.management.id:
            sent.drop()


def handle(session: Session, tag: str, attrs: dict[str, str]) -> None:
    """Process an element of stream management from a client that has bound a resource.

    Raises:
        Violation: It is not allowed there.
    """
    if tag != sm.ENABLE:
        raise Violation("unsupported-stanza-type", "stream management was not enabled")
    below = cast("Below", session.transport)
    if session.managed is not None:
        below.write(_failed("unexpected-request"))
        return
    managed = ManagedEnd(session, below)
    domain, told = session.domain, {}
    if attrs.get("resume") in ("true", "1"):
        managed.management.id = told["id"] = secrets.token_hex(8)
        told |= {"resume": "true", "max": f"{domain.limits.resume_s:.0f}"}
        domain.resumable[managed.management.id] = session
    below.write(_answer("enabled", **told))
    session.transport = session.managed = managed


def resume(session: Session, attrs: dict[str, str]) -> None:
    """Resume a session of the same user in place of `session`, which has just logged in.

    Raises:
        Violation: The client claims to have handled more than was sent.
    """
    h = sm.h_of(attrs.get("h"))
    old = session.domain.resumable.get(attrs.get("previd", ""))
    if old is None or old.managed is None or old.user.jid != session.user.jid:
        session.transport.write(_failed("item-not-found"))
        return
    old.managed.management.sent.acknowledge(h)
    session.replaced_by(old.managed)
    old.managed.take_over(session)


def _answer(name: str, **values: object) -> bytes:
    told = attributes(**{key: str(value) for key, value in values.items()})
    return f"<{name} xmlns='{ns.SM}'{told}/>".encode()


def _failed(condition: str) -> bytes:
    return f"<failed xmlns='{ns.SM}'><{condition} xmlns='{ns.STANZA_ERRORS}'/></failed>".encode()
