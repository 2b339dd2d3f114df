"""XMPP over WebSocket on the same port: the first byte shows which protocol a client speaks.

A stream begins with ``<``, a WebSocket with an HTTP request. `FirstBytes` waits for the first byte
in place of a session. Over WebSocket, a `WebSocketEnd` stands between transport and session, and
plays each one's role for the other: it feeds frames to the session, and sends the session's
elements as messages.

Any path is accepted, and Origin is not checked: a page in a browser may connect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import httptools

from amoc.xmpp.wire import first_bytes, websocket
from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.message_framing import MessageFramer, standalone
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.websocket import FrameReader, frame
from amoc.xmppd.session import Session
from amoc.xmppd.transport import ENDED

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain
    from amoc.xmppd.transport import Transport

MAX_REQUEST_BYTES: Final = 16 << 10
_HTTP: Final = b"G"  # as in GET
_END: Final = ""
"""Pseudo-header that marks the end of a request."""
_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: " + websocket.SUBPROTOCOL
)
_REFUSAL: Final = (
    "HTTP/1.1 {status}\r\nConnection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
)


class FirstBytes:
    """Takes the place of a client's session until its first bytes have arrived.

    Attributes:
        parser: None, like a framer's between two stanzas.
    """

    __slots__ = ("_domain", "_transport")

    parser = None
    unfinished = False

    def __init__(self, domain: Domain, transport: Transport) -> None:
        self._domain = domain
        self._transport = transport

    @property
    def framer(self) -> FirstBytes:
        """Checked for unfinished stanzas: there are none."""
        return self

    def received(self, chunk: bytes) -> None:
        """Create the right session for the client, and pass the bytes on."""
        transport = self._transport
        if first_bytes.is_tls(chunk) and transport.can_start_tls:
            transport.start_tls(chunk)  # the decrypted bytes arrive here again
            return
        if chunk.startswith(_HTTP):
            transport.session = WebSocketEnd(self._domain, transport)
        else:
            transport.session = self._stream()
        transport.session.received(chunk)

    def fail(self, condition: str, text: str = "") -> None:
        """End a connection on which nothing was received."""
        session = self._transport.session = self._stream()
        session.fail(condition, text)

    def lost(self) -> None:
        """Handle the loss of the connection."""

    def _stream(self) -> Session:
        """Return a session for a client that speaks XMPP over the connection's bytes."""
        domain = self._domain
        framer = Framer(domain.parsers, domain.limits.login_stanza_bytes)
        return Session(domain, self._transport, framer)


class WebSocketEnd:
    """One client's WebSocket.

    Attributes:
        session: The client's session.
    """

    __slots__ = ("_frames", "_open", "_request", "_transport", "session")

    def __init__(self, domain: Domain, transport: Transport) -> None:
        self._transport = transport
        self._request: _Request | None = _Request()
        self._frames = FrameReader(domain.limits.login_stanza_bytes, masked=True)
        self._open = False
        framer = MessageFramer(domain.parsers, domain.limits.login_stanza_bytes)
        self.session = Session(domain, self, framer)

    def __repr__(self) -> str:
        return f"<WebSocketEnd {self.session!r}>"

    # Interface for the transport

    @property
    def framer(self) -> WebSocketEnd:
        """Checked for unfinished messages."""
        return self

    @property
    def parser(self) -> FrameReader | None:
        """The reader of an unfinished message; None between two messages."""
        return self._frames if self._frames.pending else None

    @property
    def unfinished(self) -> bool:
        """Whether a message is unfinished."""
        return self._frames.pending

    def received(self, chunk: bytes) -> None:
        """Process the next bytes from the client."""
        if self._request is not None:
            chunk = self._shake_hands(self._request, chunk)
        if not chunk:
            return
        session, frames = self.session, self._frames
        frames.max_bytes = session.framer.max_bytes
        messages: list[websocket.Message] = []
        violation = None
        try:
            frames.feed(chunk, messages)
        except Violation as found:
            violation = found
        for opcode, message in messages:
            if opcode == websocket.TEXT:
                session.received([message])
            elif opcode == websocket.PING:
                self._transport.write(frame(websocket.PONG, message))
            elif opcode == websocket.CLOSE:
                self._open = False
                self._transport.finish(frame(websocket.CLOSE, message))
                self.lost()
                return
            if session.closed:
                return
        if violation is not None:
            session.fail(violation.condition, violation.text)

    def fail(self, condition: str, text: str = "") -> None:
        """End the stream with a stream error."""
        if self._request is None:
            self.session.fail(condition, text)
        else:
            self._refuse("408 Request Timeout", text or condition)

    def lost(self) -> None:
        """Handle the loss of the connection."""
        session, self.session = self.session, cast("Session", ENDED)  # breaks the reference cycle
        session.lost()

    # Interface for the session

    def write(self, data: bytes) -> None:
        """Queue an element as one message."""
        self._transport.write(frame(websocket.TEXT, standalone(data)))

    def finish(self, *last_words: bytes) -> None:
        """Send the last elements, close the WebSocket, and then the connection."""
        if not self._open:
            return
        frames = [frame(websocket.TEXT, standalone(data)) for data in last_words]
        goodbye = websocket.close_frame_data(websocket.NORMAL)
        self._transport.finish(*frames, frame(websocket.CLOSE, goodbye))

    def logged_in(self) -> None:
        """Note that the client has logged in and bound a resource."""
        self._transport.logged_in()

    can_start_tls = False
    """RFC 7395 section 3.4: over WebSocket, TLS means wss://."""

    def start_tls(self) -> None:
        """Never called."""
        raise AssertionError

    # The handshake

    def _shake_hands(self, request: _Request, chunk: bytes) -> bytes:
        """Process more of the client's request; return what follows it, once accepted."""
        try:
            rest = request.feed(chunk)
            if rest is None:
                return b""
            answer = _SWITCHING.format(accept=request.accept())
        except Violation as violation:
            self._refuse(violation.condition, violation.text)
            return b""
        self._request = None
        self._open = True
        self._transport.write(f"{answer}\r\n\r\n".encode())
        return rest

    def _refuse(self, status: str, text: str) -> None:
        answer = _REFUSAL.format(status=status, length=len(text), text=text)
        self._transport.finish(answer.encode())
        self.lost()


class _Request:
    """Reads the request that opens a WebSocket."""

    __slots__ = ("_fed", "_headers", "_parser")

    def __init__(self) -> None:
        self._fed = 0
        self._headers: dict[str, str] = {}
        self._parser = httptools.HttpRequestParser(_Headers(self._headers))

    def feed(self, chunk: bytes) -> bytes | None:
        """Process more of the request; return what follows it once it is whole, else None.

        Raises:
            Violation: It is not a WebSocket request; the condition is an HTTP status.
        """
        self._fed += len(chunk)
        try:
            self._parser.feed_data(chunk)
        except httptools.HttpParserUpgrade as upgrade:
            return chunk[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise Violation("400 Bad Request", f"this is not an HTTP request: {error}") from None
        if self._headers.get(_END):
            raise Violation("426 Upgrade Required", "this port serves XMPP over WebSocket only")
        if self._fed > MAX_REQUEST_BYTES:
            raise Violation(
                "431 Request Header Fields Too Large",
                f"a request may have at most {MAX_REQUEST_BYTES} bytes",
            )
        return None

    def accept(self) -> str:
        """Return the value that answers the client's key.

        Raises:
            Violation: The request is not one for XMPP over WebSocket (RFC 7395 section 3.1).
        """
        headers = self._headers
        if headers.get("upgrade", "").lower() != "websocket":
            raise Violation("426 Upgrade Required", "this port serves XMPP over WebSocket only")
        if headers.get("sec-websocket-version") != "13":
            raise Violation("426 Upgrade Required", "Sec-WebSocket-Version must be 13")
        offered = headers.get("sec-websocket-protocol", "")
        if websocket.SUBPROTOCOL not in (one.strip() for one in offered.split(",")):
            raise Violation("400 Bad Request", "Sec-WebSocket-Protocol must offer xmpp")
        if not headers.get("sec-websocket-key"):
            raise Violation("400 Bad Request", "Sec-WebSocket-Key must be present")
        return websocket.accept_key(headers["sec-websocket-key"])


class _Headers:
    """Collects headers from the parser, to which it does not refer (no cycle)."""

    __slots__ = ("_into",)

    def __init__(self, into: dict[str, str]) -> None:
        self._into = into

    def on_header(self, name: bytes, value: bytes) -> None:
        self._into[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        self._into[_END] = "whole"
