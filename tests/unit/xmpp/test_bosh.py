"""XMPP over BOSH: requests and responses in any order and over any connections."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable

import gevent
import gevent.event
import pytest
from gevent import socket

from amoc import xmpp
from amoc.xmpp import meters
from amoc.xmpp.connection.reaching import fds_per_user
from amoc.xmpp.stream import Stream
from amoc.xmpp.transports.bosh import MAX_RETRIES, BoshTransport
from amoc.xmpp.transports.tcp import TcpTransport
from amoc.xmpp.wire.bosh import Dialogue
from tests.unit.xmpp.fake import (
    BINDING,
    BOUND,
    MESSAGE,
    OFFER,
    PATIENCE_S,
    SUCCESS,
    Conn,
    FakeServer,
    connect,
    serving,
)
from tests.unit.xmpp.fake import count as recorded

CREATED = (
    b" sid='s1' wait='30' hold='1' requests='2' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'"
)
NAMES = (
    b" xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'"
)
TERMINATE = b" type='terminate'"

Handler = Callable[["Request"], object]


class BoshConn(Conn):
    scheme = "http://"


@pytest.fixture(autouse=True)
def speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "speaks", BoshConn)


def body(payload: bytes = b"", attributes: bytes = b"") -> bytes:
    """Return a response body, with stanzas in the client namespace as in a stream."""
    payload = re.sub(
        rb"<(message|iq|presence|features)(?=[ >/])", rb"<\1 xmlns='jabber:client'", payload
    )
    return b"<body" + NAMES + attributes + b">" + payload + b"</body>"


class Request:
    """One request from the client, to be answered now or later."""

    def __init__(self, conn: Conn, head: bytes, data: bytes) -> None:
        self.conn = conn
        self.head = head
        self.data = data
        found = re.search(rb" rid='(\d+)'", data)
        assert found is not None
        self.rid = int(found[1])

    @property
    def is_empty(self) -> bool:
        return self.data.endswith(b"/>") and b"terminate" not in self.data

    def answer(self, data: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> None:
        self.conn.sock.sendall(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(data), extra, data)
        )

    def drop(self) -> None:
        self.conn.sock.shutdown(2)


class BoshServer:
    """Logs one client in and passes every later request to `handler`."""

    def __init__(self, handler: Handler, extra: bytes = b"") -> None:
        self.handler = handler
        self.extra = extra
        self.requests: list[Request] = []
        self.connections = 0
        self.login = [body(OFFER, CREATED), body(SUCCESS), body(BINDING), body(BOUND)]

    def script(self, conn: Conn) -> None:
        """Serve one connection."""
        self.connections += 1
        while True:
            head = conn.expect(rb"POST .*?Content-Length: (\d+)\r\n\r\n")
            while len(conn.heard) < int(head[1]):
                assert conn.hear()
            data, conn.heard = conn.heard[: int(head[1])], conn.heard[int(head[1]) :]
            request = Request(conn, head[0], data)
            self.requests.append(request)
            if len(self.requests) <= len(self.login):
                request.answer(self.login[len(self.requests) - 1], extra=self.extra)
                if self.extra:
                    return
            else:
                self.handler(request)


def until(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition holds; `serving` limits the time."""
    while not condition():
        gevent.sleep(0.001)


def polite(request: Request) -> None:
    """End the session when the client asks for it; hold every other request."""
    if b"terminate" in request.data:
        request.answer(body(attributes=TERMINATE))


def test_the_first_request_reflects_the_settings() -> None:
    with serving(BoshServer(polite).script) as server:
        bosh = BoshServer(polite)
        server.script = bosh.script
        connect(f"{server.address}/deep/bind").close()
    first = bosh.requests[0]
    assert first.head.startswith(b"POST /deep/bind HTTP/1.1\r\n")
    for wanted in (b" to='localhost'", b" wait='60'", b" hold='1'", b" ver='1.6'"):
        assert wanted in first.data
    assert b" sid='s1'" in bosh.requests[1].data
    assert b" xmpp:restart='true'" in bosh.requests[2].data
    assert b" type='terminate'" in bosh.requests[-1].data
    rids = [one.rid for one in bosh.requests]
    assert rids == list(range(rids[0], rids[0] + len(rids)))


def test_a_session_survives_a_server_that_closes_every_connection() -> None:
    bosh = BoshServer(polite, extra=b"Connection: close\r\n")
    with serving(bosh.script) as server:
        client = connect(server)
        client.abort()
    assert bosh.connections >= 4


def test_stanzas_of_one_turn_share_a_request() -> None:
    bosh = BoshServer(polite)
    with serving(bosh.script) as server:
        client = connect(server)
        for number in range(10):
            client.send_chat(2, str(number))
        gevent.sleep(0)
        client.close()
    assert [one.data.count(b"<message ") for one in bosh.requests if b"<message" in one.data] == [
        10
    ]


def test_responses_are_processed_in_request_order() -> None:
    held: list[Request] = []

    def handler(request: Request) -> None:
        held.append(request)
        if len(held) == 2:
            held[1].answer(body(b"<message><body>second</body></message>"))
            gevent.sleep(0.02)
            held[0].answer(body(b"<message><body>first</body></message>"))

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        until(lambda: held)
        client.send_chat(2, "to make a second request")
        assert [client.receive(timeout=PATIENCE_S).body for _ in range(2)] == ["first", "second"]
        client.abort()


def test_a_request_on_a_lost_connection_is_resent_unchanged() -> None:
    lost: list[Request] = []

    def handler(request: Request) -> None:
        if len(lost) < MAX_RETRIES:
            lost.append(request)
            request.drop()
        elif b"terminate" in request.data:
            request.answer(body(attributes=TERMINATE))
        elif request.rid == lost[0].rid:
            lost.append(request)
            request.answer(body(MESSAGE))

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        assert client.receive(timeout=PATIENCE_S).body == "hello"
        client.abort()
    assert {(one.rid, one.data) for one in lost} == {(lost[0].rid, lost[0].data)}
    assert len(lost) == MAX_RETRIES + 1


@pytest.mark.parametrize("how", ["drop", "502"])
def test_a_session_ends_after_too_many_lost_connections(how: str) -> None:
    count = 0

    def handler(request: Request) -> None:
        nonlocal count
        count += 1
        if how == "drop":
            request.drop()
        else:
            request.answer(b"", status=b"502 Bad Gateway")

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected) as raised:
            client.receive(timeout=PATIENCE_S)
    assert count == MAX_RETRIES + 1
    assert ("502 Bad Gateway" in str(raised.value)) is (how == "502")


def test_a_connection_closed_while_idle_is_replaced() -> None:
    polls: list[Request] = []

    def handler(request: Request) -> None:
        if request.is_empty:
            polls.append(request)
        elif b"first" in request.data:
            request.answer(body())
            request.drop()  # without announcing it
            polls[0].answer(body())
        elif b"second" in request.data:
            polls[-1].answer(body())
            request.answer(body(MESSAGE))

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        until(lambda: polls)
        client.send_chat(2, "first")
        until(lambda: len(polls) == 2)
        client.send_chat(2, "second")
        assert client.receive(timeout=PATIENCE_S).body == "hello"
        client.abort()


def test_a_server_that_holds_no_requests_is_not_polled_in_a_busy_loop() -> None:
    polls = 0

    def handler(request: Request) -> None:
        nonlocal polls
        polls += request.is_empty
        request.answer(body())

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        gevent.sleep(0.3)
        client.abort()
    assert 1 <= polls <= 2


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"<html>hello</html>", xmpp.UpgradeError, "must answer in HTTP"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", xmpp.UpgradeError, "refuses .*404 Not Found"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://b/\r\n\r\n",
            xmpp.UpgradeError,
            "redirects BOSH to https://b/",
        ),
        (b"", xmpp.Disconnected, "closed the connection before the stream was opened"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 5_000_000,
            xmpp.UpgradeError,
            "at most 4194304",
        ),
    ],
)
def test_a_server_that_does_not_speak_bosh_is_diagnosed(
    answer: bytes, error: type[xmpp.XmppError], text: str
) -> None:
    def script(conn: Conn) -> None:
        conn.expect(rb"/>$")
        conn.sock.sendall(answer)
        conn.sock.shutdown(1)
        conn.rest()

    with serving(script) as server, pytest.raises(error, match=text) as raised:
        connect(server)
    assert type(raised.value) is error
    assert server.address in str(raised.value)


@pytest.mark.parametrize(
    ("data", "error", "condition"),
    [
        (b"<body", xmpp.BadStreamError, "not-well-formed"),
        (b"<html/>", xmpp.BadStreamError, "bad-format"),
        (b"", xmpp.BadStreamError, "not-well-formed"),
        (body(b"<!-- -->"), xmpp.BadStreamError, "restricted-xml"),
        (body(b"<a>" * 100 + b"</a>" * 100), xmpp.BadStreamError, "policy-violation"),
        (body(b"<x/>"), xmpp.BadStreamError, "invalid-namespace"),
        (
            body(attributes=b" type='terminate' condition='policy-violation'"),
            xmpp.StreamError,
            "policy-violation",
        ),
        (
            body(
                b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                b"</stream:error>",
                b" type='terminate' condition='remote-stream-error'",
            ),
            xmpp.StreamError,
            "conflict",
        ),
        (body(attributes=TERMINATE), xmpp.Disconnected, None),
    ],
)
def test_a_session_ends_with_the_condition_given_by_the_server(
    data: bytes, error: type[xmpp.XmppError], condition: str | None
) -> None:
    def handler(request: Request) -> None:
        if request.is_empty:
            request.answer(data)

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        with pytest.raises(error) as raised:
            client.receive(timeout=PATIENCE_S)
    assert type(raised.value) is error
    if condition is not None:
        assert raised.value.condition == condition  # type: ignore[attr-defined]


def test_an_ended_session_opens_no_further_connections() -> None:
    def handler(request: Request) -> None:
        if request.is_empty:
            request.answer(body(b"<message/>", b" oops"), extra=b"Connection: close\r\n")

    bosh = BoshServer(handler)
    with serving(bosh.script) as server:
        client = connect(server)
        connections = bosh.connections
        with pytest.raises(xmpp.BadStreamError):
            client.receive(timeout=PATIENCE_S)
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as ours:
            ours.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n rid='0' ")
            until(lambda: bosh.requests[-1].rid == 0)  # all earlier input is processed by now
        assert bosh.connections == connections + 1


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_response_may_follow_a_100_continue(in_pieces: bool) -> None:
    def handler(request: Request) -> None:
        first = b"HTTP/1.1 100 Continue\r\n\r\n"
        if not request.is_empty:
            polite(request)
        elif in_pieces:
            request.conn.sock.sendall(first)
            request.answer(body(MESSAGE))
        else:
            data = body(MESSAGE)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
            request.conn.sock.sendall(first + head + data)

    with serving(BoshServer(handler).script) as server, connect(server) as client:
        assert client.receive(timeout=PATIENCE_S).body == "hello"


def test_session_termination_is_seen_while_an_earlier_request_is_pending() -> None:
    held: list[Request] = []

    def handler(request: Request) -> None:
        if request.is_empty:
            held.append(request)
        else:
            request.answer(body(attributes=b" type='terminate' condition='bad-request'"))

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        until(lambda: held)
        client.send("<message><oops></message>")
        with pytest.raises(xmpp.StreamError) as raised:
            client.receive(timeout=PATIENCE_S)
    assert raised.value.condition == "bad-request"


def test_a_close_by_the_client_succeeds_whatever_condition_the_server_gives() -> None:
    held: list[Request] = []

    def handler(request: Request) -> None:
        held.append(request)
        if b"terminate" in request.data:
            for one in held:  # ejabberd sends this on the requests it held
                one.answer(body(attributes=b" type='terminate' condition='other-request'"))

    unfinished = recorded(meters.closes_unfinished)
    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        until(lambda: held)
        client.close()
    assert recorded(meters.closes_unfinished) == unfinished


@pytest.mark.parametrize("position", range(4))
def test_a_server_that_stops_answering_during_login_times_out(position: int) -> None:
    bosh = BoshServer(lambda request: None)
    del bosh.login[position:]
    with serving(bosh.script) as server, pytest.raises(xmpp.ConnectTimeout):
        connect(server, timeout=0.1)


def test_an_unsolicited_response_ends_the_session() -> None:
    def handler(request: Request) -> None:
        request.answer(body() + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(BoshServer(handler).script) as server:
        client = connect(server)
        with pytest.raises(xmpp.XmppError):
            client.receive(timeout=PATIENCE_S)


def send_forever(client: xmpp.Client) -> None:
    for _ in range(10_000):
        client.send_chat(2, "x" * 50_000)


def test_a_server_that_never_responds_blocks_the_sender_until_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xmpp.sending.options.xmpp_request_timeout, "default", 0.05)

    with serving(BoshServer(lambda request: None).script) as server:
        client = connect(server)
        with pytest.raises(xmpp.SendTimeout):
            send_forever(client)


def test_bosh_sessions_leave_no_reference_cycles() -> None:
    with serving(BoshServer(polite).script) as server:
        connect(server).close()
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                bosh = BoshServer(polite)
                server.script = bosh.script
                connect(server).close()
            kinds = {type(one) for one in gc.get_objects()}
        finally:
            gc.enable()
    assert not kinds & {Stream, BoshTransport, TcpTransport, Dialogue}


@pytest.mark.parametrize(
    ("servers", "hold", "requests", "expected"),
    [
        ("", 1, 2, 1),
        ("a:1,ws://b:1/c", 1, 2, 1),
        ("a:1,https://b/c", 1, 2, 2),
        ("http://b/c", 3, 2, 4),
        ("http://b/c", 1, 5, 5),
    ],
)
def test_descriptors_per_user_cover_all_concurrent_bosh_requests(
    servers: str, hold: int, requests: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = xmpp.sending.options
    monkeypatch.setattr(options.xmpp_servers, "default", servers)
    monkeypatch.setattr(options.xmpp_bosh_hold, "default", hold)
    monkeypatch.setattr(options.xmpp_bosh_requests, "default", requests)
    assert fds_per_user() == expected
