"""One XML stream (RFC 6120 section 4): a transport below, its framing beside it, stanzas above.

A stream ends once, for one reason, and notifies its owner: the server closed it, sent a stream
error, or violated the protocol; the connection was lost; or code that was called from here raised,
such as a handler. In no case does an exception reach the event loop.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, ClassVar, Final
from xml.etree.ElementTree import Element

from amoc.base.tracebacks import copy_of
from amoc.xmpp import tracing
from amoc.xmpp.connection import causes, tls_errors
from amoc.xmpp.errors import BadStreamError, Disconnected, SeeOtherHost, StreamError, XmppError
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.transports.connection import Connection, Piece, Transport
from amoc.xmpp.transports.tcp import HARD_LIMIT, SOFT_LIMIT, TcpTransport
from amoc.xmpp.transports.tls import TlsTransport
from amoc.xmpp.wire import first_bytes
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.channel_binding import Channel
from amoc.xmpp.wire.elements import conditions_of, stream_error
from amoc.xmpp.wire.namespaces import SEE_OTHER_HOST, STREAM_ERROR
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.xml_text import attributes


class Owner:
    """Receives the events of a stream; this base ignores them. None of the methods may wait.

    Attributes:
        handles: Whether stanzas that it received count as handled and may be acknowledged.
    """

    __slots__ = ()

    handles: ClassVar[bool] = True

    def on_stanza(self, stanza: Stanza) -> None:
        """A whole stanza has arrived. An exception from this ends the stream."""

    def on_turn(self) -> None:
        """All stanzas of one chunk have been delivered: the waiters for them can be woken."""

    def on_end(self, error: BaseException | None) -> None:
        """The stream has ended: with an error, or (None) closed by the server at our request."""


NOBODY: Final = Owner()
"""Owner of streams that have ended."""


class Stream:
    """The client's end of a stream.

    Attributes:
        who: The user and the server, for messages.
        owner: Receives the events; may change between two chunks.
        failure: The error that ended the stream; None while it is open, and after an orderly close.
            It is never raised itself, so it holds no references; raise a copy of it
            (`tracebacks.copy_of`).
        ended: Whether it has ended.
        closing: Whether we have closed our half.
        goodbye: Whether the server has closed its half.
        version: Version of the server's stream; empty until its header arrives, or if it has none.
    """

    __slots__ = (
        "_framing",
        "_loaded",
        "_received_ns",
        "_trace",
        "_transport",
        "closing",
        "ended",
        "failure",
        "goodbye",
        "owner",
        "version",
        "who",
    )

    def __init__(self, connection: Connection, owner: Owner, who: str) -> None:
        """Take over a connection without sending anything; see `open`."""
        self.who = who
        self.owner = owner
        self.failure: BaseException | None = None
        self.ended = False
        self.closing = False
        self.goodbye = False
        self.version = ""
        self._received_ns = 0
        self._loaded = False  # whether much was unsent after the last `send`
        self._trace = tracing.current()
        self._transport, self._framing = connection
        self._transport.start(self._on_data, self._on_lost)

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that senders should wait if they can (`wait_sendable`)."""
        return self._transport.unsent > SOFT_LIMIT

    def open(self, domain: str) -> None:
        """Open a stream, at first and again after authentication (sections 4.2 and 4.3.3)."""
        self._framing.restart()
        self.send(self._framing.header(attributes(to=domain)))

    def change_transport(self, wrap: Callable[[Transport], Transport]) -> None:
        """Switch to another transport, such as TLS over the present one (section 5.4.3.3).

        Args:
            wrap: Creates it from the present transport, which it takes over.
        """
        self._transport = wrap(self._transport)
        self._transport.start(self._on_data, self._on_lost)

    @property
    def over_tls(self) -> bool:
        """Whether TLS is directly below it; over HTTP the address tells."""
        return isinstance(self._transport, TlsTransport)

    @property
    def channel(self) -> Channel | None:
        """The TLS connection below, for channel binding; None without TLS."""
        if not isinstance(self._transport, TlsTransport):
            return None
        engine = self._transport.engine
        return Channel(engine.tls_unique(), engine.peer_certificate())

    def send(self, data: bytes) -> bool:
        """Send the bytes of one whole element; return whether it is `congested`. Never waits."""
        transport = self._transport
        if self._loaded and transport.unsent > HARD_LIMIT and not self.ended:
            self.fail(
                Disconnected(
                    f"{self.who}: the server does not read: more than {HARD_LIMIT} bytes are"
                    " unsent",
                    causes.NOT_READING,
                )
            )
            return False
        if self._trace is not None:
            self._trace.sent(self.who, data)
        transport.write(data)
        loaded = self._loaded = transport.unsent > SOFT_LIMIT
        return loaded

    def wait_sendable(self, timeout: float) -> bool:
        """Wait until the server has accepted most of what was sent; return False on timeout."""
        return self._transport.wait_drained(timeout)

    def close_our_half(self, error: bytes = b"") -> None:
        """Close our half of the stream (section 4.4); the server should then close its half.

        Args:
            error: A stream error to send first, if any.
        """
        if not self.closing and not self.ended:
            self.closing = True
            if error:
                self.send(error)
            self.send(self._framing.ending())

    def give_up(self) -> None:
        """Note that it will not be resumed."""

    def abort(self) -> None:
        """Drop the connection at once, without closing the stream or notifying the owner."""
        self._transport.close()
        self._over()

    def cut(self, reset: bool) -> None:
        """Drop the connection as if this host had crashed: by a reset, or silently."""
        self._transport.cut(reset)
        self._over()

    def _over(self) -> None:
        self.ended = True
        self._framing.close()
        self.owner = NOBODY

    def fail(self, error: BaseException) -> None:
        """End the stream because of `error`, and notify the owner."""
        if self.ended:
            return
        if isinstance(error, StreamError):
            # Section 4.9.1.1: the entity that detects an error sends it before it closes.
            bad = isinstance(error, BadStreamError)
            self.close_our_half(stream_error(error.condition) if bad else b"")
            if self.ended:  # sending failed
                return
        self.failure = copy_of(error)
        owner = self.owner
        self.abort()
        owner.on_end(error)

    def on_header(self, attrs: dict[str, str]) -> None:
        """The server's stream header has arrived."""
        self.version = attrs.get("version", "")

    def on_element(self, element: Element | Stanza) -> None:
        """A child of the stream has arrived."""
        if isinstance(element, Stanza):
            element.received_ns = self._received_ns
            self.owner.on_stanza(element)
        elif element.tag == STREAM_ERROR:
            condition, text = conditions_of(element, ns.STREAM_ERRORS)
            if condition == "see-other-host":
                target = element.findtext(SEE_OTHER_HOST, "").strip()
                self.fail(SeeOtherHost(self.who, target))
            else:
                self.fail(StreamError(self.who, condition, text))
        else:
            self.owner.on_stanza(Stanza(element, self._received_ns))

    def on_close(self) -> None:
        """The server has closed its half."""
        self.goodbye = True
        if self.closing:
            self._end_orderly()
        else:
            self.close_our_half()
            self.fail(Disconnected(f"{self.who}: the server closed the stream"))

    def _on_data(self, data: Any) -> None:  # Any: a `Piece` that the framing accepts
        self._received_ns = monotonic_ns()
        try:
            if self._trace is not None:
                for piece in data if isinstance(data, list) else [data]:
                    self._trace.received(self.who, piece)
            self._framing.feed(data, self)
        except Violation as violation:
            text = violation.text
            if self._framing.opening and (spoken := _other_protocol(data)):
                text = f"the server speaks {spoken} ({text})"
            self.fail(BadStreamError(self.who, violation.condition, text))
        except BaseException as error:  # a handler is the scenario's code
            self.fail(error)
        if not self.ended:
            # Not guarded: this runs users, and their exceptions are theirs.
            self.owner.on_turn()

    def _end_orderly(self) -> None:
        owner = self.owner
        self.abort()
        owner.on_end(None)

    def _on_lost(self, error: Exception | None) -> None:
        if self.ended:
            return
        if isinstance(error, Violation):
            error = BadStreamError(self.who, error.condition, error.text)
        if isinstance(error, XmppError):
            self.fail(error)
            return
        if isinstance(error, ssl.SSLError):
            self.fail(tls_errors.lost(error, self.who, self._framing.place))
            return
        if self.closing and error is None:
            self._end_orderly()  # the server did not close its half
            return
        how, cause = "closed the connection", causes.CLOSED
        if error is not None:
            how, cause = f"is gone: {_reason(error)}", causes.of_loss(error)
        place = self._framing.place
        if self._framing.opening and not self.version and isinstance(self._transport, TcpTransport):
            # Most servers that expect TLS silently close the connection on anything else.
            place += "; if this is a port for direct TLS, use xmpp_tls=direct or xmpps://"
        self.fail(Disconnected(f"{self.who}: the server {how} {place}", cause))


_OTHER_PROTOCOLS: Final = {
    "TLS": "TLS on this port, so use xmpp_tls=direct or xmpps://",
    "HTTP": "HTTP on this port, so use ws:// or http://",
    "SSH": "SSH on this port",
}


def _other_protocol(data: Piece) -> str:
    """Return the protocol of a peer that does not start with a stream header; empty if unknown."""
    return _OTHER_PROTOCOLS.get(first_bytes.protocol(data), "") if isinstance(data, bytes) else ""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
