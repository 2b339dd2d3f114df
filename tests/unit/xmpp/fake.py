"""A scripted server on a real socket: well-behaved unless the test's script says otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import gevent
import gevent.ssl
from gevent import socket

from amoc import metrics, xmpp
from amoc.metrics.histogram import Histogram
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire import websocket
from amoc.xmpp.wire.message_framing import CLOSING, standalone
from amoc.xmpp.wire.websocket import FrameReader

PATIENCE_S = 60.0
HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' from='localhost' id='s1' version='1.0'>"
)
SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
BIND = b"xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
OFFER = (
    b"<stream:features><mechanisms " + SASL + b"><mechanism>PLAIN</mechanism></mechanisms>"
    b"</stream:features>"
)
BINDING = b"<stream:features><bind " + BIND + b"/></stream:features>"
SUCCESS = b"<success " + SASL + b"/>"
BOUND = (
    b"<iq type='result' id='bind'><bind " + BIND + b"><jid>user_1@localhost/amoc</jid></bind></iq>"
)
MESSAGE = (
    b"<message from='user_2@localhost/amoc' to='user_1@localhost/amoc' type='chat'>"
    b"<body>hello</body></message>"
)

# What the client sends, and the answers of a well-behaved server.
LOGIN: Sequence[tuple[bytes, bytes]] = (
    (rb"<stream:stream[^>]*>", HEADER + OFFER),
    (rb"<auth[^>]*>[^<]*</auth>", SUCCESS),
    (rb"<stream:stream[^>]*>", HEADER + BINDING),
    (rb"<iq type='set' id='bind'>.*?</iq>", BOUND),
)


class Conn:
    """The server end of a connection over TCP."""

    scheme = ""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.heard = b""

    def begin(self) -> None:
        """Do what precedes XMPP."""

    def hear(self) -> bool:
        """Read once from the client; return whether there was any data."""
        data = self.sock.recv(65536)
        self.heard += data
        return bool(data)

    def framed(self, data: bytes) -> bytes:
        """Return `data`, part of a stream, as it is sent."""
        return data

    def expect(self, pattern: bytes) -> re.Match[bytes]:
        """Read until `pattern` has arrived; skip anything before it."""
        while not (found := re.search(pattern, self.heard, re.DOTALL)):
            if not self.hear():
                raise ConnectionError(
                    f"the client closed; expected {pattern!r} after {self.heard!r}"
                )
        self.heard = self.heard[found.end() :]
        return found

    def say(self, data: bytes) -> None:
        self.sock.sendall(self.framed(data))

    def say_part(self, data: bytes) -> None:
        """Send part of something that continues."""
        self.sock.sendall(data)

    def log_in(self, steps: Sequence[tuple[bytes, bytes]] = LOGIN) -> None:
        """Give the expected answer to each step of a login."""
        for pattern, answer in steps:
            self.expect(pattern)
            self.say(answer)

    def rest(self) -> bytes:
        """Return everything that the client sends until it closes."""
        try:
            while self.hear():
                pass
        except ConnectionError:
            pass
        return self.heard

    def reset(self) -> None:
        """Close like a crashed host."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class TlsConn(Conn):
    """The server end over TLS from the first byte.

    Attributes:
        context: Holds the server's certificate.
    """

    scheme = "xmpps://"
    context: ClassVar[gevent.ssl.SSLContext]

    def begin(self) -> None:
        """Perform the TLS handshake."""
        self.start_tls()

    def start_tls(self) -> None:
        """Continue over TLS."""
        try:
            # A separate handshake: if wrap_socket() did it, a failure would leave the socket open.
            self.sock = self.context.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        except gevent.ssl.SSLError as error:
            raise ConnectionError(str(error)) from None

    def hear(self) -> bool:
        try:
            return super().hear()
        except gevent.ssl.SSLError as error:
            raise ConnectionError(str(error)) from None


_TAG = re.compile(rb"<(/?)[^\s/>!?]+[^>]*?(/?)>")
_ACCEPTED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
)


class WebSocketConn(Conn):
    """The server end over WebSocket: the same stream, sent and received in messages."""

    scheme = "ws://"

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.closed_with = b""
        self._part = websocket.TEXT
        self._frames = FrameReader(1 << 30, masked=True)

    def begin(self) -> None:
        """Accept the client's handshake."""
        self.sock.sendall(self.accepted(self.handshake()))

    def handshake(self) -> bytes:
        """Return the client's request."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"the client closed after {request!r}")
            request += data
        return request

    def accepted(self, request: bytes) -> bytes:
        """Return an accepting answer to `request`."""
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
        assert key is not None
        return _ACCEPTED.format(accept=websocket.accept_key(key[1].decode())).encode()

    def hear(self) -> bool:
        data = self.sock.recv(65536)
        messages: list[websocket.Message] = []
        self._frames.feed(data, messages)
        for opcode, message in messages:
            if opcode == websocket.CLOSE:
                self.closed_with = message
            else:
                self.heard += _as_in_a_stream(message)
        return bool(data)

    def framed(self, data: bytes) -> bytes:
        return b"".join(websocket.frame(websocket.TEXT, one) for one in _messages(data))

    def say_part(self, data: bytes) -> None:
        opcode, self._part = self._part, websocket.CONTINUATION
        whole = websocket.frame(opcode, data)
        self.sock.sendall(bytes((opcode,)) + whole[1:])  # without the FIN bit


def _as_in_a_stream(message: bytes) -> bytes:
    if message.startswith(b"<open "):
        return b"<stream:stream>"
    if message.startswith(b"<close "):
        return b"</stream:stream>"
    return message.replace(b" xmlns='jabber:client'", b"")


def _messages(data: bytes) -> Iterator[bytes]:
    """Yield the header, each complete element, and the rest."""
    if data.startswith(HEADER[:40]):
        end = data.find(b">", 40) + 1
        yield b"<open xmlns='%s'%s/>" % (ns.FRAMING.encode(), data[data.find(b" from=") : end - 1])
        data = data[end:]
    begin = depth = 0
    for tag in _TAG.finditer(data):
        depth += 0 if tag[2] else -1 if tag[1] else 1
        if depth == 0:
            yield standalone(data[begin : tag.end()])
            begin = tag.end()
        elif tag[0] == b"</stream:stream>":
            yield CLOSING
            begin, depth = tag.end(), 0
    if data[begin:]:
        yield data[begin:]


class FakeServer:
    """Runs `script` for each connection and collects its exceptions in `errors`.

    Attributes:
        speaks: The protocol of its connections, for tests that run over several transports.
    """

    speaks: ClassVar[type[Conn]] = Conn

    def __init__(self, script: Callable[[Conn], object]) -> None:
        self.script = script
        self._kind = self.speaks  # a test may start another server with a different protocol
        self.errors: list[BaseException] = []
        self.connections = 0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.address = f"{self.speaks.scheme}127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepted: list[Any] = []
        self._greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            self._accepted.append(sock)
            self._greenlets.append(gevent.spawn(self._serve, sock))

    def _serve(self, sock: Any) -> None:
        conn = self._kind(sock)
        try:
            conn.begin()
            self.script(conn)
        except (ConnectionError, gevent.ssl.SSLError):
            pass  # clients that leave early are what these tests are about
        except Exception as error:
            self.errors.append(error)
        finally:
            conn.sock.close()

    def stop(self) -> None:
        gevent.killall(self._greenlets, timeout=PATIENCE_S)
        for sock in (self._listener, *self._accepted):  # some greenlets may never have started
            sock.close()


@contextmanager
def serving(script: Callable[[Conn], object]) -> Iterator[FakeServer]:
    """Run a server during a block, which may take at most `PATIENCE_S`."""
    server = FakeServer(script)
    try:
        with gevent.Timeout(PATIENCE_S):
            yield server
    finally:
        server.stop()
    assert not server.errors


def connect(server: FakeServer | str, **options: Any) -> xmpp.Client:
    """Call `xmpp.connect` as user 1, with one attempt and PLAIN."""
    wanted = {"mechanism": "PLAIN", "attempts": 1, "timeout": PATIENCE_S, "interrupts": False}
    address = server if isinstance(server, str) else server.address
    return xmpp.connect(1, server=address, **{**wanted, **options})


def session(after: Callable[[Conn], object]) -> Callable[[Conn], object]:
    """A script that logs the client in and then runs `after`."""

    def script(conn: Conn) -> None:
        conn.log_in()
        after(conn)

    return script


def idle(conn: Conn) -> None:
    """Answer the client's stream end, and do nothing else."""
    conn.expect(rb"</stream:stream>")
    conn.say(b"</stream:stream>")
    conn.rest()


def count(metric: metrics.Counter | metrics.Gauge | metrics.Timer) -> int:
    """Return the value of a counter or gauge, or the samples of a timer; 0 if there is none."""
    found = {one.name: one.value for one in metrics.read()}.get(metric.name, 0)
    return found.count if isinstance(found, Histogram) else int(found)


def saying(*stanzas: bytes) -> Callable[[Conn], None]:
    """A script that waits for the client's presence and then sends `stanzas`."""

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        for stanza in stanzas:
            conn.say(stanza)
        idle(conn)

    return script


def number(body: int) -> bytes:
    return b"<message from='user_2@localhost/amoc' type='chat'><body>%d</body></message>" % body


def answering(answer: bytes) -> Callable[[Conn], None]:
    """A script that answers an iq; ``ID`` in the answer is replaced by the request's id."""

    def script(conn: Conn) -> None:
        conn.log_in()
        asked = conn.expect(rb"<iq [^>]*id='([^']*)'")[1]
        conn.say(answer.replace(b"ID", asked))
        idle(conn)

    return script
