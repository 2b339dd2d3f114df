"""The embedded server over WebSocket on its usual port, with valid and invalid clients."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from amoc import xmpp
from amoc.xmpp.wire import websocket
from amoc.xmpp.wire.message_framing import CLOSING, opening, standalone
from amoc.xmppd import Limits, Server
from tests.unit.xmppd.lab import bind, plain_auth
from tests.unit.xmppd.sockets import PATIENCE_S, Peer

OPEN = opening(" to='localhost'")
KEY = base64.b64encode(b"x" * 16).decode()
REQUEST = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: soap, xmpp\r\nOrigin: https://elsewhere.example\r\n\r\n"
).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Browser(Peer):
    """A client that speaks WebSocket and receives messages."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server.port, **options)
        self.frames = websocket.FrameReader(1 << 20, masked=False)
        self.messages: list[websocket.Message] = []

    def shake_hands(self) -> str:
        self.say(REQUEST)
        return self.until(b"\r\n\r\n").decode()

    def tell(self, *elements: bytes) -> None:
        for element in elements:
            self.say(websocket.masked_frame(websocket.TEXT, element))

    def next(self) -> websocket.Message:
        while not self.messages:
            data = self.heard or self.sock.recv(65536)
            self.heard = b""
            assert data, "the server closed"
            self.frames.feed(data, self.messages)
        return self.messages.pop(0)

    def enter(self, number: int) -> None:
        self.shake_hands()
        self.tell(OPEN)
        self.hear(b"<open ", b"<stream:features ")
        self.tell(plain_auth(f"user_{number}", f"password_{number}"))
        self.hear(b"<success ")
        self.tell(OPEN)
        self.hear(b"<open ", b"<stream:features ")
        self.tell(standalone(bind("web")))
        self.hear(b"<iq ")

    def hear(self, *starts: bytes) -> bytes:
        """Read one message for each of `starts`, which it must begin with; return the last."""
        message = b""
        for start in starts:
            opcode, message = self.next()
            assert opcode == websocket.TEXT
            assert message.startswith(start)
            assert b" xmlns" in message
        return message


def test_a_handshake_is_accepted_whatever_its_path_and_origin(server: Server) -> None:
    with Browser(server) as client:
        answer = client.shake_hands()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Protocol: xmpp\r\n" in answer
    assert f"Sec-WebSocket-Accept: {websocket.accept_key(KEY)}\r\n" in answer


@pytest.mark.parametrize("chunk", [1, 7, len(REQUEST)])
def test_a_handshake_may_arrive_in_pieces_and_along_with_the_next_frame(
    server: Server, chunk: int
) -> None:
    data = REQUEST + websocket.masked_frame(websocket.TEXT, OPEN)
    with Browser(server) as client:
        for at in range(0, len(data), chunk):
            client.say(data[at : at + chunk])
        client.until(b"\r\n\r\n")
        client.hear(b"<open ", b"<stream:features ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"426"),
        (REQUEST.replace(b": 13", b": 8"), b"426"),
        (REQUEST.replace(b"soap, xmpp", b"soap"), b"400"),
        (REQUEST.replace(b"Sec-WebSocket-Key", b"Sec-Key"), b"400"),
        (REQUEST.replace(b"Upgrade: websocket", b"Upgrade: h2c"), b"426"),
        (b"GRAB everything\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000, b"431"),
        (b"GET /" + b"x" * 20_000, b"431"),
    ],
)
def test_an_unsuitable_http_request_is_refused_in_http(
    server: Server, request_: bytes, status: bytes
) -> None:
    with Peer(server.port) as client:
        client.say(request_)
        assert client.until_closed().startswith(b"HTTP/1.1 " + status)
    assert server.statistics().internal_errors == 0


def test_clients_of_both_transports_exchange_messages(server: Server) -> None:
    with Browser(server) as web, Peer(server.port) as plain:
        web.enter(1)
        plain.log_in(2)
        web.tell(b"<presence xmlns='jabber:client'/>")
        web.hear(b"<presence ")
        web.tell(
            b"<message xmlns='jabber:client' to='user_2@localhost' type='chat'>"
            b"<body>to you</body></message>"
        )
        message = plain.message()
        assert message.get("from") == "user_1@localhost/web"
        assert message.findtext("{jabber:client}body") == "to you"
        plain.say(b"<message to='user_1@localhost/web'><body>and back</body></message>")
        heard = web.hear(b"<message ")
        assert b" xmlns='jabber:client'" in heard
        assert b"<body>and back</body>" in heard
        web.tell(CLOSING)
        web.hear(b"<close ")
        assert web.next() == (websocket.CLOSE, websocket.close_frame_data(1000))
        assert web.until_closed() == b""


def test_pings_and_close_frames_are_answered(server: Server) -> None:
    with Browser(server) as web:
        web.enter(1)
        web.say(websocket.masked_frame(websocket.PING, b"there?"))
        assert web.next() == (websocket.PONG, b"there?")
        goodbye = websocket.close_frame_data(1001, "tab closed")
        web.say(websocket.masked_frame(websocket.CLOSE, goodbye))
        assert web.next() == (websocket.CLOSE, goodbye)
        assert web.until_closed() == b""
    assert server.statistics().bound == 0


@pytest.mark.parametrize(
    ("frames", "condition"),
    [
        (websocket.frame(websocket.TEXT, b"<a/>"), b"bad-format"),
        (b"\x82\x80keys", b"bad-format"),
        (b"\x81\xff" + b"\xff" * 8, b"policy-violation"),
        (b"\x01\x80keys" + b"\x00\x80keys" * 5000, b"policy-violation"),
        (websocket.masked_frame(websocket.TEXT, b"<a/><b/>"), b"not-well-formed"),
        (websocket.masked_frame(websocket.TEXT, b"<a>"), b"not-well-formed"),
        (websocket.masked_frame(websocket.TEXT, OPEN), b"bad-format"),
        (websocket.masked_frame(websocket.TEXT, b"<stream:stream>"), b"not-well-formed"),
        (websocket.masked_frame(websocket.TEXT, b"\xff"), b"not-well-formed"),
    ],
    ids=itertools.count(),
)
def test_a_client_that_violates_the_protocol_gets_an_error_and_is_closed(
    server: Server, frames: bytes, condition: bytes
) -> None:
    with Browser(server) as web:
        web.enter(1)
        web.say(frames)
        assert condition in web.hear(b"<stream:error ")
        web.hear(b"<close ")
        assert web.next()[0] == websocket.CLOSE
        assert web.until_closed() == b""
    assert server.statistics().internal_errors == 0
    assert server.statistics().bound == 0


def test_stanza_limits_apply_to_websocket_messages() -> None:
    with Server(limits=Limits(login_stanza_bytes=2000, stanza_bytes=5000)) as server:
        with Browser(server) as web:
            web.shake_hands()
            web.tell(OPEN)
            web.hear(b"<open ", b"<stream:features ")
            web.say(b"\x81\xfe" + (2001).to_bytes(2, "big"))
            assert b"policy-violation" in web.hear(b"<stream:error ")
        with Browser(server) as web:
            web.enter(1)
            web.tell(
                b"<message xmlns='jabber:client' to='user_2@localhost'>%b</message>" % (b" " * 4000)
            )
            web.hear(b"<message ")
            web.say(b"\x81\xfe" + (5001).to_bytes(2, "big"))
            assert b"policy-violation" in web.hear(b"<stream:error ")


@pytest.mark.parametrize("said", [b"", b"GET /", REQUEST, REQUEST + b"\x81\x85key"])
def test_an_incomplete_handshake_or_login_times_out(said: bytes) -> None:
    with Server(limits=Limits(login_s=0.3, linger_s=0.1)) as server, Peer(server.port) as client:
        client.say(said)
        heard = client.until_closed()
        if said == REQUEST:
            assert b"connection-timeout" in heard
        eventually_empty(server)


def test_an_unfinished_message_times_out() -> None:
    with Server(limits=Limits(stanza_s=0.3)) as server, Browser(server) as web:
        web.enter(1)
        web.say(websocket.masked_frame(websocket.TEXT, b"<a/>" * 10)[:-1])
        assert b"connection-timeout" in web.hear(b"<stream:error ")


def test_stopping_the_server_closes_the_websocket_properly() -> None:
    server = Server()
    server.start()
    with Browser(server) as web:
        web.enter(1)
        stopping = gevent.spawn(server.stop)
        assert b"system-shutdown" in web.hear(b"<stream:error ")
        web.hear(b"<close ")
        assert web.next()[0] == websocket.CLOSE
        web.sock.close()
        stopping.join(PATIENCE_S)
        assert stopping.ready()


def test_amocs_client_logs_in_over_websocket_with_each_mechanism(server: Server) -> None:
    for number, mechanism in enumerate(("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "ANONYMOUS"), 1):
        with xmpp.connect(
            number, via=f"ws://{server.address}/", mechanism=mechanism, interrupts=False
        ) as client:
            assert client.ping(timeout=PATIENCE_S) > 0


def eventually_empty(server: Server) -> None:
    with gevent.Timeout(PATIENCE_S):
        while server.statistics().connections:
            gevent.sleep(0.01)
