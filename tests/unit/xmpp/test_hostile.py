"""Hostile servers on real sockets: each ends its user with a clear error, and nothing hangs.

These tests run over each transport; errors specific to one transport have their own modules.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc import xmpp
from amoc.xmpp import meters
from tests.certificates import Authority
from tests.unit.xmpp.fake import (
    BINDING,
    BOUND,
    HEADER,
    LOGIN,
    MESSAGE,
    OFFER,
    SASL,
    SUCCESS,
    Conn,
    FakeServer,
    TlsConn,
    WebSocketConn,
    connect,
    serving,
)
from tests.unit.xmpp.fake import count as recorded

STREAM_ERROR = (
    b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not\nhere</text></stream:error>"
)
TLS_ONLY = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    b"</stream:features>"
)
CONFLICT = (
    b"<iq type='error' id='bind'><error type='cancel'>"
    b"<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
)
ANSWERS = [*(answer for _, answer in LOGIN), MESSAGE]


@pytest.fixture(
    autouse=True, params=[Conn, TlsConn, WebSocketConn], ids=["tcp", "tls", "websocket"]
)
def speaks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> type[Conn]:
    """The protocol that the fake server speaks."""
    monkeypatch.setattr(FakeServer, "speaks", request.param)
    chosen: type[Conn] = request.param
    return chosen


def receive_forever(server: FakeServer) -> None:
    client = connect(server)
    try:
        for _ in range(10_000):
            client.receive(timeout=10)
    finally:
        client.abort()


def send_forever(client: xmpp.Client) -> None:
    for _ in range(10_000):
        client.send_chat(2, "x" * 50_000)


def saying_only(count: int, end: Callable[[Conn], object]) -> Callable[[Conn], None]:
    """A script that sends the first `count` bytes of a session and a message, then calls `end`."""

    def script(conn: Conn) -> None:
        left = count
        for pattern, answer in [*LOGIN, (b"", MESSAGE)]:
            conn.expect(pattern)
            said = conn.framed(answer)
            conn.sock.sendall(said[:left])
            left -= len(said)
            if left <= 0:
                break
        end(conn)

    return script


def close(conn: Conn) -> None:
    conn.sock.shutdown(1)
    conn.rest()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("end", [close, Conn.reset], ids=["closed", "reset"])
def test_a_connection_cut_at_any_byte_is_a_clear_error(
    end: Callable[[Conn], object], speaks: type[Conn]
) -> None:
    for count in range(sum(len(speaks(None).framed(answer)) for answer in ANSWERS)):
        with serving(saying_only(count, end)) as server:
            with pytest.raises(xmpp.XmppError) as raised:
                receive_forever(server)
            assert isinstance(raised.value, xmpp.Disconnected | xmpp.ConnectError), count
            assert "\n" not in str(raised.value)
            assert server.address in str(raised.value)


@pytest.mark.parametrize(
    ("steps", "error", "condition"),
    [
        ([HEADER + b"<!DOCTYPE x>"], xmpp.BadStreamError, "not-well-formed"),
        (
            [b"<!DOCTYPE x [<!ENTITY a 'aaa'>]>"],
            xmpp.BadStreamError,
            ("restricted-xml", "not-well-formed"),
        ),
        ([HEADER + b"<message>&a;</message>"], xmpp.BadStreamError, "restricted-xml"),
        ([HEADER + b"<!-- -->"], xmpp.BadStreamError, "restricted-xml"),
        ([HEADER + b"\xff"], xmpp.BadStreamError, None),
        (
            [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            xmpp.BadStreamError,
            ("not-well-formed", "bad-format"),
        ),
        ([b"\x15\x03\x01\x00\x02\x02\x16"], xmpp.BadStreamError, "not-well-formed"),
        ([b"<html></html>"], xmpp.BadStreamError, "bad-format"),
        ([HEADER.replace(b"1.0'>", b"0.9'>") + OFFER], xmpp.BadStreamError, "unsupported-version"),
        ([HEADER.replace(b" version='1.0'>", b">") + OFFER], xmpp.BadStreamError, None),
        ([HEADER + MESSAGE], xmpp.BadStreamError, "invalid-xml"),
        ([HEADER + b"<stream:features/>"], xmpp.SaslError, "invalid-mechanism"),
        ([HEADER + STREAM_ERROR], xmpp.StreamError, "host-unknown"),
        (
            [HEADER + OFFER, b"<failure " + SASL + b"><account-disabled/></failure>"],
            xmpp.SaslError,
            "account-disabled",
        ),
        ([HEADER + OFFER, b"<failure " + SASL + b"/>"], xmpp.SaslError, "undefined-condition"),
        ([HEADER + OFFER, b"<challenge " + SASL + b">AA==</challenge>"], xmpp.SaslError, None),
        ([HEADER + OFFER, b"<challenge " + SASL + b">?</challenge>"], xmpp.SaslError, None),
        ([HEADER + OFFER, MESSAGE], xmpp.BadStreamError, "invalid-xml"),
        ([HEADER + OFFER, SUCCESS + MESSAGE], xmpp.BadStreamError, "bad-format"),
        ([HEADER + OFFER, SUCCESS, HEADER + OFFER], xmpp.BadStreamError, "invalid-xml"),
        (
            [HEADER + OFFER, SUCCESS, HEADER + BINDING, b"<iq type='result' id='bind'/>"],
            xmpp.BadStreamError,
            "invalid-xml",
        ),
        ([HEADER + OFFER, SUCCESS, HEADER + BINDING, CONFLICT], xmpp.IqError, "conflict"),
        (
            [HEADER + OFFER, SUCCESS, HEADER + BINDING, BOUND + b"</stream:stream>"],
            xmpp.Disconnected,
            None,
        ),
    ],
    ids=itertools.count(),
)
def test_misbehaviour_during_login_is_diagnosed(
    steps: list[bytes],
    error: type[xmpp.XmppError],
    condition: str | tuple[str, str] | None,
    speaks: type[Conn],
) -> None:
    if isinstance(condition, tuple):  # over TCP and over WebSocket
        condition = condition[speaks is WebSocketConn]

    def script(conn: Conn) -> None:
        for (pattern, _), answer in zip(LOGIN, steps, strict=False):
            conn.expect(pattern)
            conn.say(answer)
        conn.rest()

    failures = recorded(meters.connection_failures)
    with serving(script) as server, pytest.raises(error) as raised:
        connect(server)
    assert type(raised.value) is error
    if condition is not None:
        assert raised.value.condition == condition  # type: ignore[attr-defined]
        assert condition in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "password_1" not in str(raised.value)
    assert recorded(meters.connection_failures) == failures + 1


def test_a_server_that_violates_the_protocol_is_sent_the_reason() -> None:
    heard: list[bytes] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say(b"<message></presence>")
        heard.append(conn.rest())

    with serving(script) as server:
        client = connect(server)
        with pytest.raises(xmpp.BadStreamError):
            client.receive(timeout=10)
        client.abort()
        while not heard:
            gevent.sleep(0.001)
    assert b"<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in heard[0]
    assert heard[0].endswith(b"</stream:stream>")


@pytest.mark.parametrize("spoken", range(len(LOGIN)))
def test_a_silent_server_times_out(spoken: int) -> None:
    def script(conn: Conn) -> None:
        conn.log_in(LOGIN[:spoken])
        conn.rest()

    with serving(script) as server:
        with pytest.raises(xmpp.ConnectTimeout, match="xmpp_connect_timeout") as raised:
            connect(server, timeout=0.05)
        assert isinstance(raised.value, TimeoutError)


def test_endless_stanzas_before_login_end_the_attempt() -> None:
    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(HEADER)
        for _ in range(100_000):
            conn.say(b"<message/>" * 100)

    with serving(script) as server, pytest.raises(xmpp.BadStreamError):
        connect(server)


@pytest.mark.parametrize(
    "begin",
    [b"<message><body>", b"<message a='", b"<message>" + b"<a>" * 50],
    ids=["text", "tag", "children"],
)
def test_an_endless_stanza_ends_the_user(begin: bytes) -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say_part(begin)
        for _ in range(1000):
            conn.say_part(b"x" * 65536)

    with serving(script) as server:
        client = connect(server)
        with pytest.raises(xmpp.BadStreamError) as raised:
            client.receive(timeout=10)
        assert raised.value.condition == "policy-violation"


def test_a_server_that_does_not_read_blocks_the_sender_until_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xmpp.sending.options.xmpp_request_timeout, "default", 0.05)
    done = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.log_in()
        done.wait(10)

    with serving(script) as server:
        client = connect(server)
        with pytest.raises(xmpp.SendTimeout, match="xmpp_request_timeout"):
            send_forever(client)
        assert not client.is_open
        with pytest.raises(xmpp.SendTimeout):
            client.send_presence()
        done.set()


def test_endless_requests_from_a_server_that_does_not_read_end_the_user() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        ping = b"<iq type='get' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % (b"x" * 20_000)
        for _ in range(100_000):
            conn.say(ping)

    with serving(script) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected, match="the server does not read"):
            client.receive(timeout=10)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 3), st.integers(1, 300))
def test_random_bytes_at_any_stage_raise_only_xmpp_errors(
    noise: bytes, stage: int, chunk: int
) -> None:
    def script(conn: Conn) -> None:
        conn.log_in(LOGIN[:stage])
        conn.expect(LOGIN[stage][0])
        for at in range(0, len(noise), chunk):
            conn.say(noise[at : at + chunk])
        conn.sock.shutdown(1)
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.XmppError):
        connect(server)


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=100), max_size=5))
def test_random_bytes_in_a_session_raise_only_xmpp_errors(chunks: list[bytes]) -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        for chunk in chunks:
            conn.say(chunk)
        conn.sock.shutdown(1)
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.XmppError):
        receive_forever(server)


def test_a_refused_connection_is_a_connect_error() -> None:
    with serving(lambda conn: None) as server:
        address = server.address
    with pytest.raises(xmpp.ConnectError, match="Connection refused"):
        xmpp.connect(1, server=address, attempts=1)


def test_an_unknown_host_is_a_connect_error() -> None:
    with pytest.raises(xmpp.ConnectError, match=r"nowhere\.invalid cannot be resolved"):
        xmpp.connect(1, server="nowhere.invalid:5222", attempts=1)


def test_one_failed_session_does_not_affect_the_others() -> None:
    conns: list[Conn] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        conns.append(conn)
        conn.rest()

    with serving(script) as server:
        clients = [connect(server) for _ in range(3)]
        while len(conns) < 3:
            gevent.sleep(0.001)
        conns[1].say(b"<oops")
        conns[1].say(b"<" * 10)
        with pytest.raises(xmpp.BadStreamError):
            clients[1].receive(timeout=10)
        for number in (0, 2):
            conns[number].say(MESSAGE)
            assert clients[number].receive(timeout=10).body == "hello"
        for client in clients:
            client.abort()
