"""XMPP over WebSocket (RFC 7395): a layer over a byte transport, TCP or TLS.

Each element that the stream writes becomes one masked text frame; received data is delivered
message by message. Pings are answered. The connection is closed with a close frame that gives the
reason, without waiting for the server's, since by then the XMPP stream has ended in its own way.
"""

from __future__ import annotations

import base64
import os
from time import monotonic_ns
from typing import Final

from amoc.base.clock import S_NS
from amoc.base.waiting import Waiter, wait_despite_pause
from amoc.xmpp import errors
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.transports.connection import OnData, OnLost, Transport
from amoc.xmpp.transports.tcp import SOFT_LIMIT, ignore
from amoc.xmpp.wire import websocket
from amoc.xmpp.wire.http_answer import SWITCHING_PROTOCOLS, Answer, AnswerReader
from amoc.xmpp.wire.message_framing import standalone
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.websocket import FrameReader, FrameViolation, masked_frame

MAX_REFUSAL_BYTES: Final = 1 << 20
"""Maximum size of a refusal's body, which is ignored."""


class WebSocketTransport:
    """A WebSocket after its handshake; see `open_websocket`.

    Attributes:
        closed: Whether it was closed, by either side.
    """

    __slots__ = ("_below", "_code", "_frames", "_on_data", "_on_lost", "_rest", "closed")

    def __init__(self, below: Transport, max_message_bytes: int, rest: bytes = b"") -> None:
        """Take over a transport on which the handshake was done.

        Args:
            below: The transport.
            max_message_bytes: Maximum length of a message from the server.
            rest: Bytes that the server sent after its handshake.
        """
        self._below = below
        self._code = websocket.NORMAL
        self._frames = FrameReader(max_message_bytes, masked=False)
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._rest = rest
        self.closed = False

    @property
    def unsent(self) -> int:
        """Bytes not yet accepted by the kernel."""
        return self._below.unsent

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Start reading; see `Transport`. `on_data` is called with lists of messages."""
        self._on_data = on_data
        self._on_lost = on_lost
        self._below.start(self._receive, self._lost)
        if self._rest:
            rest, self._rest = self._rest, b""
            self._receive(rest)

    def write(self, data: bytes) -> None:
        """Send an element as one message."""
        self._below.write(masked_frame(websocket.TEXT, standalone(data)))

    def wait_drained(self, timeout: float) -> bool:
        """Wait until most data was sent; see `Transport`."""
        return self._below.wait_drained(timeout)

    def close(self) -> None:
        """Send a close frame with the reason, and close the connection. Harmless if repeated."""
        if self.closed:
            return
        self.closed = True
        self._on_data = self._on_lost = ignore
        data = websocket.close_frame_data(self._code)
        self._below.write(masked_frame(websocket.CLOSE, data))
        self._below.close()

    def cut(self, reset: bool) -> None:
        """Drop the connection without a close frame."""
        self.closed = True
        self._on_data = self._on_lost = ignore
        self._below.cut(reset)

    def _receive(self, data: bytes) -> None:
        text = self._frames.whole(data)
        if text is not None:
            self._on_data([text])
            return
        messages: list[websocket.Message] = []
        violation = None
        try:
            self._frames.feed(data, messages)
        except FrameViolation as found:
            violation = found.with_traceback(None)  # the traceback would refer to this frame
        texts = [message for opcode, message in messages if opcode == websocket.TEXT]
        end = None
        if len(texts) < len(messages):
            texts, end = self._control(messages)
        if texts:
            self._on_data(texts)
        if self.closed:
            return
        if end is not None:
            self._closed_by_peer(end)
        elif violation is not None:
            self._code = violation.code
            self._on_lost(violation)

    def _control(self, messages: list[websocket.Message]) -> tuple[list[bytes], bytes | None]:
        """Handle control frames; return the texts among `messages`, and a close frame's data."""
        texts = []
        for opcode, message in messages:
            if opcode == websocket.TEXT:
                texts.append(message)
            elif opcode == websocket.CLOSE:
                return texts, message
            # If a server keeps pinging without reading, answering the latest ping is enough (RFC
            # 6455 section 5.5.3): the one that finds room again.
            elif opcode == websocket.PING and self._below.unsent <= SOFT_LIMIT:
                self._below.write(masked_frame(websocket.PONG, message))
        return texts, None

    def _closed_by_peer(self, data: bytes) -> None:
        code, reason = websocket.close_code(data)
        if code in (websocket.NORMAL, websocket.GOING_AWAY, websocket.NO_CODE):
            self._lost(None)
            return
        said = f" ({errors.quoted(reason)})" if reason else ""
        self._lost(ConnectionAbortedError(f"it closed the WebSocket with code {code}{said}"))

    def _lost(self, error: Exception | None) -> None:
        on_lost = self._on_lost
        self.close()
        on_lost(error)


def open_websocket(
    below: Transport, server: Server, who: str, max_message_bytes: int, deadline_ns: int
) -> WebSocketTransport:
    """Upgrade a fresh connection to WebSocket (RFC 6455 section 4, RFC 7395 section 3.1).

    Args:
        below: The connection; closed when this fails.
        server: The server's name and path.
        who: User and server, for messages.
        max_message_bytes: Maximum length of a message from the server.
        deadline_ns: When to give up, on the monotonic clock.

    Raises:
        UpgradeError: The server refused, or does not speak HTTP or WebSocket.
        ConnectTimeout: It did not answer in time.
        ConnectError: It closed the connection.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    waiting = _Handshake()
    try:
        below.start(waiting.receive, waiting.lost)
        below.write(
            (
                f"GET {server.path} HTTP/1.1\r\nHost: {server.host_header}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {websocket.SUBPROTOCOL}\r\n\r\n"
            ).encode()
        )
        left = (deadline_ns - monotonic_ns()) / S_NS
        if left <= 0 or not wait_despite_pause(waiting, left):
            raise errors.ConnectTimeout(
                f"{who}: the server did not answer the WebSocket handshake in time"
                " (xmpp_connect_timeout)"
            )
        assert waiting.value is not None
        _check(waiting.value, websocket.accept_key(key), who)
    except Violation as violation:
        below.close()
        raise errors.UpgradeError(f"{who}: {errors.quoted(violation.text)}") from None
    except OSError as error:
        below.close()
        if isinstance(error, errors.XmppError):
            raise
        raise errors.ConnectError(
            f"{who}: the connection was lost during the WebSocket handshake:"
            f" {error.strerror or error}"
        ) from None
    except BaseException:
        below.close()
        raise
    return WebSocketTransport(below, max_message_bytes, waiting.value.rest)


class _Handshake(Waiter[Answer]):
    """Waits for the answer to the upgrade."""

    def __init__(self) -> None:
        self._reader = AnswerReader(MAX_REFUSAL_BYTES)

    def receive(self, data: bytes) -> None:
        """Process received bytes."""
        try:
            answer = None if self.done else self._reader.feed(data)
        except Violation as violation:
            self.fail(violation)
            self.wake()
            return
        if answer is not None:
            self.give(answer)

    def lost(self, error: Exception | None) -> None:
        """Handle the loss of the connection."""
        answer = self._reader.end() if error is None else None
        if answer is not None:
            self.give(answer)
            return
        self.fail(error or ConnectionAbortedError("it closed the connection"))
        self.wake()


def _check(answer: Answer, accept: str, who: str) -> None:
    """Check that the server accepted the upgrade as requested.

    Raises:
        UpgradeError: It did not.
    """
    headers = answer.headers
    if answer.status != SWITCHING_PROTOCOLS:
        where = headers.get("location")
        if where and 300 <= answer.status < 400:
            text = f"the server redirects the WebSocket handshake to {where} ({answer}); use that"
        elif answer.status < 300:
            text = f"the server does not speak WebSocket at this path: it answered {answer}"
        else:
            text = f"the server refuses the WebSocket handshake: {answer}"
        raise errors.UpgradeError(f"{who}: {errors.quoted(text)}", answer.status)
    if headers.get("upgrade", "").lower() != "websocket":
        wrong = f"Upgrade must be websocket, got {headers.get('upgrade', 'none')}"
    elif headers.get("sec-websocket-accept") != accept:
        wrong = "Sec-WebSocket-Accept must answer the key of the request"
    elif headers.get("sec-websocket-protocol") != websocket.SUBPROTOCOL:
        found = headers.get("sec-websocket-protocol", "none")
        wrong = f"the subprotocol must be {websocket.SUBPROTOCOL}, got {found}"
    elif "sec-websocket-extensions" in headers:
        found = headers["sec-websocket-extensions"]
        wrong = f"an extension must have been offered, got {found}"
    else:
        return
    text = f"the server's WebSocket handshake is wrong: {wrong}"
    raise errors.UpgradeError(f"{who}: {errors.quoted(text)}", answer.status)
