"""The sending side of a client: stanzas are written in the call that sends them.

A user that sends faster than the server reads waits in `send` until the server has caught up or
xmpp_request_timeout has passed. Handlers cannot wait, so what they send is buffered, up to a limit
beyond which the connection counts as broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gevent import get_hub, getcurrent

from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.xmpp import encode, meters, options
from amoc.xmpp.encode import Sendable
from amoc.xmpp.errors import SendTimeout
from amoc.xmpp.match import Predicate, is_any
from amoc.xmpp.session import Handler, Session
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire import disco
from amoc.xmpp.wire.xml_text import escape

_plain_body = ""
"""The last body that needed no escaping: many users send the same text again and again."""
_count_sent: Final = meters.messages_sent.inc


class Sender:
    """Sends stanzas on a session, counts them, and shows them to handlers."""

    __slots__ = ("_on_sent", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._on_sent: list[tuple[Predicate, Handler]] | None = None

    def send(self, stanza: Sendable) -> None:
        """Send `stanza`; waits only while the server accepts no more bytes.

        Args:
            stanza: A slixmpp stanza, an ElementTree element, a received `Stanza`, or raw XML as
                text or bytes. Raw XML is sent unchanged even if it is malformed, so that a scenario
                can test how the server reacts.

        Raises:
            SendTimeout: The server accepted no more for xmpp_request_timeout.
            XmppError: The stream has ended.
            ClosedError: The client is closed.
            ScenarioError: `stanza` is none of these, or holds a character that XML cannot carry.
        """
        data, is_message = encode.outgoing(stanza)
        self._send(data, is_message)
        if not is_message:
            self._session.lane.sent_raw(data)

    def send_chat(self, to: str | int, body: str) -> None:
        """Send a chat message; an amoc client that receives it measures its time to delivery.

        Args:
            to: A JID, or a user's number.
            body: The text.

        Raises:
            SendTimeout: The server accepted no more for xmpp_request_timeout.
            XmppError: The stream has ended.
            ClosedError: The client is closed.
            ScenarioError: `body` holds a character that XML cannot carry.
        """
        global _plain_body
        text = body
        if body is not _plain_body:
            text = escape(body)
            if text is body:
                _plain_body = body
        session = self._session
        if pause.clock.since_ns or session.stream.ended or session.closed:
            self._wait_ready()
        data = session.lane.chat(to, text).encode()
        is_congested = session.stream.send(data)
        if is_congested or self._on_sent is not None:
            self._sent(data, is_congested)

    def send_message(
        self, to: str | int, body: str | None = None, type: str = "normal", payload: str = ""
    ) -> None:
        """Send a message of any type.

        Args:
            to: A JID, or a user's number.
            body: The text; None for a message without one.
            type: ``chat``, ``groupchat``, ``headline``, ``normal`` or ``error``.
            payload: Raw XML to send next to the body.

        Raises:
            XmppError, ClosedError, ScenarioError: As `send_chat`.
        """
        before, after = encode.message(to, body, type, payload)
        self._wait_ready()
        # Stamped last, when nothing can fail any more, so that every number is actually sent.
        stanza_id = self._session.lane.stamp(to, type)
        self._put(f"{before}{stanza_id}{after}".encode(), type != "error")

    def stamp(self, to: str | int, type: str = "chat") -> str:
        """Return an id for a message to `to` that you build yourself, so that it is accounted for.

        Send it at once, and only once: a stamp that is never sent counts as a lost message.

        Args:
            to: A JID, or a user's number.
            type: The message's type; ``groupchat`` when `to` is a room.
        """
        return self._session.lane.stamp(to, type)

    def joined(self, room: str) -> None:
        """Expect the messages in `room` from now on, in message accounting.

        Not needed for rooms that send presence (XEP-0045), only for MUC light rooms.
        """
        self._session.lane.joined(room)

    def left(self, room: str) -> None:
        """Expect no more messages in `room`, in message accounting."""
        self._session.lane.left(room)

    def send_presence(
        self,
        to: str | int | None = None,
        *,
        type: str | None = None,
        show: str | None = None,
        status: str | None = None,
        priority: int | None = None,
        id: str | None = None,
    ) -> None:
        """Send presence (RFC 6121 section 4): by default "I am available", to all subscribers.

        Args:
            to: Only to this JID or user.
            type: None for available; ``unavailable``, ``subscribe``, ``subscribed``,
                ``unsubscribe``, ``unsubscribed``, ``probe``.
            show: ``away``, ``chat``, ``dnd`` or ``xa``.
            status: A status text for people.
            priority: From -128 to 127.
            id: Identifies an error that answers it.

        Raises:
            XmppError, ClosedError: As `send_chat`.
            ScenarioError: A value is not allowed.
        """
        features = self._session.features
        caps = "" if features is None or type is not None else disco.caps(features)
        self._send(encode.presence(to, type, show, status, priority, caps, id), False)
        self._session.lane.sent_presence(to, type, priority)

    def _send(self, data: bytes, is_message: bool) -> None:
        self._wait_ready()
        self._put(data, is_message)

    def _wait_ready(self) -> None:
        """Wait while the run is paused, and check that the session is open."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        session = self._session
        if session.stream.ended or session.closed:
            session.check_open()

    def _put(self, data: bytes, is_message: bool) -> None:
        is_congested = self._session.stream.send(data)
        if is_message:
            _count_sent()
        self._sent(data, is_congested)

    def _sent(self, data: bytes, is_congested: bool) -> None:
        """Show sent data to handlers; wait if too much is unsent."""
        if self._on_sent is not None:
            self._show_sent(data)
        if is_congested and getcurrent() is not get_hub():
            self._wait_sendable()

    def _wait_sendable(self) -> None:
        session = self._session
        seconds = options.xmpp_request_timeout.get()
        if not session.stream.wait_sendable(seconds):
            session.note_end_seen()
            session.stream.fail(
                SendTimeout(
                    f"{session.stream.who}: the server accepted no more bytes within"
                    f" {seconds:g} s (xmpp_request_timeout)"
                )
            )
        session.check_open()

    def _show_sent(self, data: bytes) -> None:
        assert self._on_sent is not None
        try:
            stanza = Stanza.of(data)
        except ScenarioError:
            return  # raw XML, malformed on purpose
        for match, handler in self._on_sent:
            if match(stanza):
                handler(stanza)

    def on_sent(self, match: Predicate | None, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each sent stanza that `match` accepts, right after it is sent.

        It runs in the greenlet that sends, and must not wait. Raw XML that is not well-formed is
        skipped.

        Returns:
            A function that removes the handler.
        """
        entry = (is_any if match is None else match, handler)
        self._on_sent = [*(self._on_sent or ()), entry]

        def off() -> None:
            left = [one for one in self._on_sent or () if one is not entry]
            self._on_sent = left or None

        return off
