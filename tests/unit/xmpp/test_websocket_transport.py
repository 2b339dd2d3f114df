"""XMPP over WebSocket: valid and invalid behaviour of a server, in the handshake and in frames.

XMPP violations are the same over all transports; see test_hostile.py.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.xmpp.stream import Stream
from amoc.xmpp.transports.tcp import TcpTransport
from amoc.xmpp.transports.websocket import WebSocketTransport
from amoc.xmpp.wire import websocket
from amoc.xmpp.wire.message_framing import CLOSING, MessageFramer
from tests.unit.xmpp.fake import (
    HEADER,
    LOGIN,
    MESSAGE,
    Conn,
    FakeServer,
    WebSocketConn,
    connect,
    idle,
    serving,
)


class Raw(WebSocketConn):
    """Leaves the handshake to the script."""

    def begin(self) -> None:
        pass


@pytest.fixture(autouse=True)
def speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "speaks", WebSocketConn)


def answering(answer: Callable[[Raw, bytes], bytes]) -> Callable[[Any], None]:
    """A script that answers the handshake, or closes the connection if there is no answer."""

    def script(conn: Raw) -> None:
        conn.sock.sendall(answer(conn, conn.handshake()))
        conn.sock.shutdown(1)
        conn.rest()

    return script


def fixed(answer: bytes) -> Callable[[Raw, bytes], bytes]:
    return lambda conn, request: answer


def changed(old: bytes, new: bytes) -> Callable[[Raw, bytes], bytes]:
    def answer(conn: Raw, request: bytes) -> bytes:
        good = conn.accepted(request)
        assert old in good
        return good.replace(old, new)

    return answer


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (fixed(HEADER), xmpp.UpgradeError, r"must answer in HTTP, got .<\?xml"),
        (fixed(b"\x15\x03\x01\x00\x02\x02\x16"), xmpp.UpgradeError, "must answer in HTTP"),
        (fixed(b""), xmpp.ConnectError, "it closed the connection"),
        (fixed(b"HTTP/1.1 404 Not Found\r\n\r\n"), xmpp.UpgradeError, "refuses .*: 404 Not Found"),
        (fixed(b"HTTP/1.1 403\r\nContent-Length: 2\r\n\r\nno"), xmpp.UpgradeError, ": 403"),
        (
            fixed(b"HTTP/1.1 301 Moved\r\nLocation: wss://other/ws\r\n\r\n"),
            xmpp.UpgradeError,
            r"redirects .* to wss://other/ws \(301 Moved\)",
        ),
        (
            fixed(b"HTTP/1.1 200 OK\r\n\r\n<html>"),
            xmpp.UpgradeError,
            "not speak WebSocket .*200 OK",
        ),
        (fixed(b"HTTP/1.1 100 Continue\r\n\r\n"), xmpp.ConnectError, "closed the connection"),
        (fixed(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000), xmpp.UpgradeError, "at most 16384"),
        (
            fixed(b"HTTP/1.1 500 No\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000),
            xmpp.UpgradeError,
            "at most 1048576",
        ),
        (changed(b"Accept: ", b"Accept: x"), xmpp.UpgradeError, "Sec-WebSocket-Accept"),
        (
            changed(b"Protocol: xmpp", b"Protocol: soap"),
            xmpp.UpgradeError,
            "must be xmpp, got soap",
        ),
        (changed(b"Sec-WebSocket-Protocol: xmpp\r\n", b""), xmpp.UpgradeError, "got none"),
        (changed(b"Upgrade: websocket", b"Upgrade: h2c"), xmpp.UpgradeError, "got h2c"),
        (
            changed(b"xmpp\r\n", b"xmpp\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"),
            xmpp.UpgradeError,
            "an extension must have been offered, got permessage-deflate",
        ),
    ],
)
def test_handshake_failures_are_told_apart(
    answer: Callable[[Raw, bytes], bytes],
    error: type[xmpp.XmppError],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeServer, "speaks", Raw)
    with serving(answering(answer)) as server, pytest.raises(error, match=text) as raised:
        connect(server)
    assert type(raised.value) is error
    assert server.address in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (301, 1), (503, 2), (429, 2)])
def test_a_refused_handshake_is_retried_only_if_the_status_is_temporary(
    status: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeServer, "speaks", Raw)
    monkeypatch.setattr(xmpp.sending.options.xmpp_connect_pause, "default", 0.0)
    script = answering(fixed(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status))
    with serving(script) as server:
        with pytest.raises(xmpp.UpgradeError) as raised:
            connect(server, attempts=2)
        assert server.connections == tries
    assert raised.value.status == status


def test_an_unanswered_handshake_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "speaks", Raw)

    def script(conn: Raw) -> None:
        conn.handshake()
        conn.sock.recv(1)

    with (
        serving(script) as server,
        pytest.raises(xmpp.ConnectTimeout, match="WebSocket handshake in time"),
    ):
        connect(server, timeout=0.05)


def test_the_handshake_requests_the_path_of_the_url_and_offers_no_compression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeServer, "speaks", Raw)
    heard: list[bytes] = []

    def script(conn: Raw) -> None:
        heard.append(conn.handshake())

    with serving(script) as server, pytest.raises(xmpp.ConnectError):
        connect(f"{server.address}/deep/path?with=query")
    lines = heard[0].split(b"\r\n")
    assert lines[0] == b"GET /deep/path?with=query HTTP/1.1"
    assert b"Host: " + server.address.removeprefix("ws://").encode() in lines
    assert b"Sec-WebSocket-Protocol: xmpp" in lines
    assert not [line for line in lines if line.lower().startswith(b"sec-websocket-extensions")]


def test_frames_sent_along_with_the_handshake_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "speaks", Raw)

    def script(conn: Raw) -> None:
        early = websocket.frame(websocket.PING, b"early")
        conn.sock.sendall(conn.accepted(conn.handshake()) + early)
        conn.expect(b"early")
        conn.log_in()
        idle(conn)

    with serving(script) as server:
        connect(server).close()


def in_session(*frames: bytes) -> Callable[[Any], None]:
    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        for one in frames:
            conn.sock.sendall(one)
        conn.rest()

    return script


@pytest.mark.parametrize(
    ("frames", "condition", "code"),
    [
        ((websocket.masked_frame(websocket.TEXT, MESSAGE),), "bad-format", 1002),
        ((b"\xc1\x01a",), "bad-format", 1002),
        ((b"\x82\x01a",), "bad-format", 1003),
        ((b"\x09\x00",), "bad-format", 1002),
        ((b"\x89\x7e\x00\x80" + b"x" * 128,), "bad-format", 1002),
        ((b"\x80\x00",), "bad-format", 1002),
        ((b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",), "policy-violation", 1009),
        ((b"\x81\x7f" + (2 << 20).to_bytes(8, "big"),), "policy-violation", 1009),
        ((b"\x01\x00", b"\x00\x00" * 5000), "policy-violation", 1009),
        ((b"\x01\x04<a/>", b"\x00\x7e\xff\xff" + b" " * 65_535) * 20, "bad-format", 1002),
        ((b"\x81\x02\xff\xfe",), "not-well-formed", 1000),
    ],
)
def test_a_server_that_violates_the_websocket_protocol_is_sent_the_reason(
    frames: tuple[bytes, ...], condition: str, code: int
) -> None:
    heard: list[WebSocketConn] = []

    def script(conn: WebSocketConn) -> None:
        heard.append(conn)
        in_session(*frames)(conn)

    with serving(script) as server:
        client = connect(server)
        with pytest.raises(xmpp.BadStreamError) as raised:
            client.receive(timeout=10)
        while not heard[0].closed_with:
            gevent.sleep(0.001)
    assert raised.value.condition == condition
    assert f"<{condition} ".encode() in heard[0].heard
    assert websocket.close_code(heard[0].closed_with)[0] == code


def test_pings_are_answered_and_pongs_are_not() -> None:
    heard: list[websocket.Message] = []

    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        conn.sock.sendall(websocket.frame(websocket.PONG, b"unasked"))
        conn.sock.sendall(websocket.frame(websocket.PING, b"are you there"))
        reader = websocket.FrameReader(1000, masked=True)
        while not heard:
            reader.feed(conn.sock.recv(65536), heard)
        conn.say(MESSAGE)
        conn.rest()

    with serving(script) as server:
        client = connect(server)
        assert client.receive(timeout=10).body == "hello"
        client.abort()
    assert heard == [(websocket.PONG, b"are you there")]


def test_endless_pings_from_a_server_that_does_not_read_use_no_memory() -> None:
    seen = gevent.event.Event()

    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        pings = websocket.frame(websocket.PING, b"x" * 125) * 500
        for _ in range(200):
            conn.sock.sendall(pings)
        conn.say(MESSAGE)
        seen.wait(10)

    with serving(script) as server:
        client = connect(server)
        assert client.receive(timeout=10).body == "hello"
        client.abort()
        seen.set()


def test_a_message_may_be_fragmented_with_pings_in_between() -> None:
    half = len(MESSAGE) // 2
    ping = websocket.frame(websocket.PING, b"")

    def part(opcode: int, data: bytes) -> bytes:
        return bytes((opcode,)) + websocket.frame(websocket.TEXT, data)[1:]

    script = in_session(part(1, MESSAGE[:half]), ping, part(0x80, MESSAGE[half:]))
    with serving(script) as server:
        client = connect(server)
        assert client.receive(timeout=10).body == "hello"
        client.abort()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (websocket.close_frame_data(1000), "closed the connection between two stanzas"),
        (b"", "closed the connection"),
        (websocket.close_frame_data(1011, "a\nbug"), r"code 1011 \(a bug\)"),
    ],
)
def test_a_close_frame_ends_the_session_with_its_reason(data: bytes, text: str) -> None:
    with serving(in_session(websocket.frame(websocket.CLOSE, data))) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected, match=text):
            client.receive(timeout=10)


def redirecting_to(target: str) -> Callable[[Any], None]:
    """A script that redirects the client instead of opening the stream."""

    def script(conn: WebSocketConn) -> None:
        conn.expect(LOGIN[0][0])
        close = CLOSING.replace(b"/>", b" see-other-uri='%s'/>" % target.encode())
        conn.sock.sendall(websocket.frame(websocket.TEXT, close))
        conn.rest()

    return script


def test_a_redirect_to_another_address_is_followed() -> None:
    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        idle(conn)

    with serving(script) as other, serving(redirecting_to(f"{other.address}/there")) as server:
        connect(server).close()
        assert (server.connections, other.connections) == (1, 1)


def test_a_redirect_to_nowhere_is_an_error() -> None:
    with (
        serving(redirecting_to("nonsense://")) as server,
        pytest.raises(xmpp.SeeOtherHost) as raised,
    ):
        connect(server)
    assert raised.value.target == "nonsense://"


def test_closing_a_session_ends_the_stream_and_the_websocket() -> None:
    ended: list[WebSocketConn] = []

    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        idle(conn)
        ended.append(conn)

    with serving(script) as server:
        connect(server).close()
        while not ended:
            gevent.sleep(0.001)
    assert websocket.close_code(ended[0].closed_with) == (websocket.NORMAL, "")


def test_outgoing_stanzas_declare_their_namespace() -> None:
    messages: list[websocket.Message] = []

    def script(conn: WebSocketConn) -> None:
        conn.log_in()
        reader = websocket.FrameReader(10_000, masked=True)
        while len(messages) < 2:
            reader.feed(conn.sock.recv(65536), messages)
        conn.rest()

    with serving(script) as server:
        client = connect(server)
        client.send_message(2, "hello", payload="<a xmlns='b'/>")
        client.send("<r xmlns='urn:xmpp:sm:3'/>")
        while len(messages) < 2:
            gevent.sleep(0.001)
        client.abort()
    assert messages[0][1].startswith(b"<message xmlns='jabber:client' to='user_2@localhost'")
    assert messages[1][1] == b"<r xmlns='urn:xmpp:sm:3'/>"


def test_websocket_sessions_leave_no_reference_cycles() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        idle(conn)

    with serving(script) as server:
        connect(server).close()
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                connect(server).close()
            kinds = {type(one) for one in gc.get_objects()}
        finally:
            gc.enable()
    assert not kinds & {Stream, WebSocketTransport, TcpTransport, MessageFramer}


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("ftp://a:1/b", "a URL that begins with"),
        ("ws://", "must be ws://host:port/path, such as"),
        ("ws://a:0/b", "must be ws://host:port/path, such as"),
        ("ws://user@a/b", "must be ws://host:port/path, such as"),
        ("ws://a/b c", "ASCII characters without spaces"),
        ("ws://a/b#c", "ASCII characters without spaces"),
        ("a:1/b", "must be host:port"),
    ],
)
def test_an_invalid_address_is_refused_before_connecting(address: str, rule: str) -> None:
    with pytest.raises(ScenarioError, match=rule):
        connect(address)
    with pytest.raises(ValueError, match=rule):
        xmpp.options.xmpp_servers.verify(address)
