"""Stream management (XEP-0198): counting, retention, acknowledgement and single redelivery."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import pytest
from gevent import socket
from hypothesis import given
from hypothesis import strategies as st

from amoc import xmpp
from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.xmpp import meters, options
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.stream_management import MODULUS, Management, Unacknowledged, h_of, stanzas_in
from amoc.xmppd import Limits, Server
from tests.unit.xmpp.fake import (
    BIND,
    BOUND,
    HEADER,
    LOGIN,
    MESSAGE,
    PATIENCE_S,
    Conn,
    connect,
    count,
    idle,
    number,
    serving,
)

NS_SESSION = b"urn:ietf:params:xml:ns:xmpp-session"
SM = b"xmlns='urn:xmpp:sm:3'"
MANAGED = b"<stream:features><bind " + BIND + b"/><sm " + SM + b"/></stream:features>"
ENABLED = b"<enabled " + SM + b" id='some-id' resume='true' max='60'/>"
SM_LOGIN = (
    *LOGIN[:2],
    (rb"<stream:stream[^>]*>", HEADER + MANAGED),
    LOGIN[3],
    (rb"<enable [^>]*/>", ENABLED),
)


def test_acknowledged_stanzas_are_released() -> None:
    sent = Unacknowledged()
    for stanza in (b"1", b"22", b"333"):
        sent.add(stanza)
    sent.ask()
    assert (len(sent), sent.size, sent.unasked) == (3, 6, 0)
    assert sent.acknowledge(2) == 2
    assert (list(sent.stanzas), sent.size, sent.unasked) == ([b"333"], 3, 0)
    assert sent.acknowledge(2) == 0
    sent.add(b"4")
    assert sent.unasked == 1


@pytest.mark.parametrize("h", [3, 0, MODULUS - 1])
def test_an_h_outside_the_unacknowledged_range_is_a_violation(h: int) -> None:
    sent = Unacknowledged()
    sent.add(b"1")
    sent.acknowledge(1)
    sent.add(b"2")
    with pytest.raises(Violation, match="h must be from 1 to 2, the number sent, got"):
        sent.acknowledge(h)


@given(st.integers(0, MODULUS - 1), st.lists(st.integers(0, 5), max_size=20))
def test_counters_wrap_around_to_zero(start: int, steps: list[int]) -> None:
    management = Management()
    management.sent.acknowledged = management.handled = start
    total = start
    for step in steps:
        for _ in range(step):
            management.sent.add(b"x")
            management.handle()
        total += step
        assert management.sent.acknowledge(total % MODULUS) == step
        assert not management.sent.stanzas
        assert management.ack() == b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (total % MODULUS)


@pytest.mark.parametrize("text", [None, "", "-1", "1.0", "٣", "9" * 11, str(MODULUS)])
def test_an_h_that_is_not_a_number_is_a_violation(text: str | None) -> None:
    with pytest.raises(Violation, match="h must be a number"):
        h_of(text)


@pytest.mark.parametrize(
    ("data", "stanzas"),
    [
        (b"<message><body>&lt;message></body></message>", 1),
        (b"<presence/>", 1),
        (b"<iq/><message/> <presence/>", 3),
        (b"<message><forwarded><message/></forwarded></message>", 1),
        (b"<active xmlns='urn:xmpp:csi:0'/>", 0),
        (b"<message><body><![CDATA[<message>]]></body></message><a/>", 1),
        (b"<a/><oops></message>", 0),
        (b" ", 0),
        (b"<c:message xmlns:c='jabber:client'/>", 1),
        (b"<messages/>", 0),
    ],
)
def test_every_stanza_in_outgoing_data_is_counted(data: bytes, stanzas: int) -> None:
    assert len(list(stanzas_in(data))) == stanzas


def managed(
    after: Callable[[Conn], object], then: Callable[[Conn], object] | None = None
) -> Callable[[Conn], None]:
    """A server with stream management: `after` on the first connection, `then` on later ones."""
    served: list[Conn] = []

    def script(conn: Conn) -> None:
        served.append(conn)
        if then is not None and len(served) > 1:
            for pattern, answer in SM_LOGIN[:3]:
                conn.expect(pattern)
                conn.say(answer)
            then(conn)
        else:
            conn.log_in(SM_LOGIN)
            after(conn)

    return script


@contextmanager
def client_of(
    after: Callable[[Conn], object], then: Callable[[Conn], object] | None = None
) -> Iterator[xmpp.Client]:
    with serving(managed(after, then)) as server:
        client = connect(server, resumable=True)
        try:
            yield client
        finally:
            client.abort()


def sent_of(client: xmpp.Client) -> Any:
    return client._session.stream.management.sent  # type: ignore[attr-defined]


def until(condition: Callable[[], object]) -> None:
    while not condition():
        gevent.sleep(0.001)


def test_the_client_requests_an_ack_every_n_stanzas_and_answers_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_ack_every, "default", 3)
    answers: list[bytes] = []

    def after(conn: Conn) -> None:
        conn.expect(rb"<r xmlns='urn:xmpp:sm:3'/>")
        conn.say(b"<a " + SM + b" h='3'/>" + MESSAGE * 2 + (b"<r " + SM + b"/>") * 50)
        answers.append(conn.expect(rb"<a [^>]*/>")[0])
        conn.say(MESSAGE + b"<r " + SM + b"/>")
        answers.append(conn.expect(rb"<a [^>]*/>")[0])
        conn.rest()

    with client_of(after) as client:
        client.send_presence()
        client.send_presence(type="unavailable")
        assert len(sent_of(client)) == 2
        client.send_presence()
        until(lambda: len(answers) == 2)
        assert len(sent_of(client)) == 0
    assert answers == [b"<a xmlns='urn:xmpp:sm:3' h='2'/>", b"<a xmlns='urn:xmpp:sm:3' h='3'/>"]


def test_the_client_requests_an_ack_after_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.xmpp_ack_interval, "default", 0.01)
    asked = gevent.event.Event()

    def after(conn: Conn) -> None:
        conn.expect(rb"<presence/>.*<r xmlns='urn:xmpp:sm:3'/>")
        asked.set()
        conn.rest()

    with client_of(after) as client:
        client.send_presence()
        assert asked.wait(PATIENCE_S)


def test_a_long_running_handler_does_not_shorten_the_ack_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_ack_interval, "default", 0.05)
    listening = gevent.event.Event()
    sent: list[float] = []
    asked: list[float] = []

    def after(conn: Conn) -> None:
        assert listening.wait(PATIENCE_S)
        conn.say(MESSAGE)
        conn.expect(rb"<presence/>.*<r xmlns='urn:xmpp:sm:3'/>")
        asked.append(time.monotonic())
        conn.rest()

    with client_of(after) as client:

        def work(_: xmpp.Stanza) -> None:
            time.sleep(0.1)  # the event loop's cached time does not advance meanwhile
            client.send_presence()
            sent.append(time.monotonic())

        client.on_received(xmpp.is_chat, work)
        listening.set()
        until(lambda: asked)
    assert asked[0] - sent[0] >= 0.04  # this side's clock was read later


def test_unacknowledged_stanzas_are_resent_once_and_in_order() -> None:
    heard: list[bytes] = []

    def then(conn: Conn) -> None:
        asked = conn.expect(rb"<resume [^>]*/>")[0]
        assert b"previd='some-id'" in asked
        assert b"h='1'" in asked
        conn.say(b"<resumed " + SM + b" previd='some-id' h='2'/>" + MESSAGE)
        conn.expect(rb"<r xmlns")
        heard.append(conn.heard)
        conn.rest()

    def after(conn: Conn) -> None:
        conn.say(MESSAGE)
        conn.expect(rb">3<")
        conn.reset()

    resumed, timed = count(meters.sessions_resumed), count(meters.resumption)
    connections, connected = count(meters.connections), count(meters.connected)
    with serving(managed(after, then)) as server:
        client = connect(server, resumable=True)
        bodies: list[str | None] = []
        client.on_received(xmpp.is_chat, lambda message: bodies.append(message.body))
        client.receive(xmpp.is_chat, timeout=PATIENCE_S)
        for number in range(4):
            client.send_chat(2, str(number))
        with pytest.raises(xmpp.Disconnected):
            client.wait(PATIENCE_S)
        before = len(bodies)  # 0 if the message came along with the end of the login
        assert client.resume(PATIENCE_S) is True
        assert [re.findall(rb">(\d)<", one) for one in sent_of(client).stanzas] == [[b"2"], [b"3"]]
        assert client.is_open
        until(lambda: len(bodies) == before + 1)  # handlers go on
        assert client.resume() is True  # it was not lost
        client.abort()
    assert count(meters.sessions_resumed) == resumed + 1
    assert count(meters.resumption) == timed + 1
    assert count(meters.connections) == connections + 1
    assert count(meters.connected) == connected


def test_a_session_unknown_to_the_server_is_replaced_by_a_new_one() -> None:
    def then(conn: Conn) -> None:
        conn.expect(rb"<resume [^>]*/>")
        conn.say(b"<failed " + SM + b" h='1'><item-not-found/></failed>")
        conn.log_in(SM_LOGIN[3:])
        conn.rest()

    unknown, connections = count(meters.stanzas_unacknowledged), count(meters.connections)
    with client_of(lambda conn: conn.expect(rb">1<") and conn.reset(), then) as client:
        client.send_chat(2, "0")
        client.send_chat(2, "1")
        with pytest.raises(xmpp.Disconnected):
            client.wait(PATIENCE_S)
        assert client.resume(PATIENCE_S) is False
        assert client.is_open
        assert len(sent_of(client)) == 0
    assert count(meters.stanzas_unacknowledged) == unknown + 1
    assert count(meters.connections) == connections + 2


def test_resumption_uses_the_location_given_by_the_server() -> None:
    def elsewhere(conn: Conn) -> None:
        conn.log_in(SM_LOGIN[:3])
        conn.expect(rb"<resume [^>]*/>")
        conn.say(b"<resumed " + SM + b" previd='some-id' h='0'/>")
        conn.rest()

    with serving(elsewhere) as other:
        place = b" location='%b'/>" % other.address.encode()
        steps = (*SM_LOGIN[:4], (SM_LOGIN[4][0], ENABLED.replace(b"/>", place)))
        with serving(lambda conn: (conn.log_in(steps), conn.rest())) as server:
            client = connect(server, resumable=True)
            client.cut(reset=True)
            assert client.resume(PATIENCE_S)
            assert server.connections == 1
            client.abort()


def test_a_user_killed_while_resuming_ends_even_if_the_run_is_paused() -> None:
    with client_of(Conn.rest, Conn.rest) as client:
        client.cut(reset=True)
        user = gevent.spawn(client.resume)
        until(lambda: count(meters.connecting) == 1)
        pause.pause()
        try:
            user.kill(timeout=1.0)
            assert user.dead
        finally:
            pause.resume()


def test_a_handler_error_on_a_redelivered_stanza_ends_the_stream() -> None:
    heard: list[bytes] = []

    def resumed(conn: Conn) -> None:
        conn.expect(rb"<resume [^>]*/>")
        conn.say(b"<resumed " + SM + b" h='0' previd='some-id'/>" + MESSAGE)
        heard.append(conn.rest())

    def fail(_: xmpp.Stanza) -> None:
        raise LookupError("in the handler")

    with client_of(Conn.rest, resumed) as client:
        client.on_received(xmpp.is_chat, fail)
        client.cut(reset=True)
        assert client.resume(PATIENCE_S)
        assert not client.is_open
        with pytest.raises(LookupError, match="in the handler"):
            client.send_presence()
        until(lambda: heard)


def test_stanzas_received_during_a_failed_resumption_are_requested_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_connect_pause, "default", 0.01)
    asked: list[bytes] = []
    error = b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    resumed = b"<resumed " + SM + b" previd='some-id' h='0'/>"

    def then(conn: Conn) -> None:
        asked.append(conn.expect(rb"<resume [^>]*h='(\d+)'")[1])
        again = len(asked) > 1
        conn.say(resumed + number(2) + number(3) + (b"" if again else error + b"</stream:error>"))
        conn.rest()

    with client_of(lambda conn: (conn.say(number(1)), conn.rest()), then) as client:
        client.receive(xmpp.is_chat, timeout=PATIENCE_S)
        client.cut(reset=True)
        while not client.is_open:
            with suppress(xmpp.StreamError):
                assert client.resume(PATIENCE_S)
        bodies = [client.receive(xmpp.is_chat, timeout=PATIENCE_S).body for _ in range(2)]
    assert asked == [b"1", b"1"]
    assert bodies == ["2", "3"]


def test_stanzas_received_before_the_login_completes_reach_the_session() -> None:
    wants_session = MANAGED.replace(b"</stream", b"<session xmlns='%b'/></stream" % NS_SESSION)
    ping = b"<iq type='get' from='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    heard: list[bytes] = []
    steps = (
        *SM_LOGIN[:2],
        (SM_LOGIN[2][0], HEADER + wants_session),
        (SM_LOGIN[3][0], BOUND),
        (rb"<session[^>]*>", number(1) + b"<iq type='result' id='session'/>"),
        (SM_LOGIN[4][0], number(2) + b"<presence from='user_2@localhost'/>" + ping + ENABLED),
    )

    def script(conn: Conn) -> None:
        conn.log_in(steps)
        conn.expect(rb"<iq [^>]*id='p'")
        conn.say(number(3) + b"<r " + SM + b"/>")
        heard.append(conn.expect(rb"<a [^>]*/>")[0])
        conn.rest()

    with serving(script) as server:
        client = connect(server, resumable=True)
        bodies = [client.receive(xmpp.is_chat, timeout=PATIENCE_S).body for _ in range(3)]
        until(lambda: heard)
        client.abort()
    assert bodies == ["1", "2", "3"]
    assert b"h='1'" in heard[0]  # the server counts from its <enabled/> onwards


def test_an_unrelated_result_during_login_is_an_error() -> None:
    steps = (*SM_LOGIN[:4], (SM_LOGIN[4][0], b"<iq type='result' id='other'/>" + ENABLED))
    with (
        serving(lambda conn: (conn.log_in(steps), conn.rest())) as server,
        pytest.raises(xmpp.BadStreamError, match="must be enabled"),
    ):
        connect(server, resumable=True)


def large(size: int) -> bytes:
    return b"<message><body>%b</body></message>" % (b"x" * size)


def slow(conn: Conn) -> None:
    """Shrink the receive buffer so that the kernel takes little of what the client sends."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)


def test_an_ack_request_is_answered_even_if_the_server_reads_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_ack_interval, "default", 0.01)
    listening = gevent.event.Event()
    congested: list[bool] = []
    answers: list[bytes] = []

    def after(conn: Conn) -> None:
        slow(conn)
        assert listening.wait(PATIENCE_S)
        conn.say(MESSAGE + b"<r " + SM + b"/>")
        until(lambda: congested)
        answers.append(conn.expect(rb"<a [^>]*/>")[0])
        conn.rest()

    with client_of(after) as client:
        stream = client._session.stream

        def unsent() -> bool:
            return super(type(stream), stream).congested  # regardless of unacknowledged stanzas

        def answer(_: xmpp.Stanza) -> None:
            while not unsent() and not stream.ended:
                stream.send(large(100_000))
            congested.append(unsent())

        client.on_received(xmpp.is_chat, answer)
        listening.set()
        until(lambda: answers)
    assert congested == [True]
    assert b"h='1'" in answers[0]


def test_a_backlog_larger_than_the_unsent_limit_can_be_resumed() -> None:
    many = 18
    heard: list[int] = []

    def then(conn: Conn) -> None:
        slow(conn)
        conn.expect(rb"<resume [^>]*/>")
        conn.say(b"<resumed " + SM + b" previd='some-id' h='0'/>")
        heard.extend(len(conn.expect(rb"<message>.*?</message>")[0]) for _ in range(many))
        conn.rest()

    def after(conn: Conn) -> None:
        for _ in range(many):
            conn.say(MESSAGE)
            conn.expect(rb"</message>")
        conn.reset()

    with client_of(after, then) as client:
        stream = client._session.stream
        client.on_received(xmpp.is_chat, lambda _: stream.send(large(500_000)))
        with pytest.raises(xmpp.Disconnected):
            client.wait(PATIENCE_S)
        assert client.resume(PATIENCE_S)
        until(lambda: len(heard) == many)
        assert client.is_open
    assert heard == [len(large(500_000))] * many


def test_resumption_times_out_if_the_server_does_not_read_the_resent_stanzas() -> None:
    def then(conn: Conn) -> None:
        slow(conn)
        conn.expect(rb"<resume [^>]*/>")
        conn.say(b"<resumed " + SM + b" previd='some-id' h='0'/>")
        gevent.sleep(PATIENCE_S)

    def after(conn: Conn) -> None:
        conn.say(MESSAGE)
        conn.rest()

    with client_of(after, then) as client:
        stream = client._session.stream
        sent = gevent.event.Event()

        def answer(_: xmpp.Stanza) -> None:
            stream.send(large(9 << 20))
            stream.send(b"<presence/>")
            sent.set()

        client.on_received(xmpp.is_chat, answer)
        assert sent.wait(PATIENCE_S)
        client.cut(reset=True)
        with pytest.raises(xmpp.ConnectTimeout, match="did not accept the resent stanzas in time"):
            client.resume(0.5)


def test_many_unacknowledged_bytes_block_the_user_and_request_an_ack_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_ack_interval, "default", 10 * PATIENCE_S)
    acknowledged: list[bool] = []

    def after(conn: Conn) -> None:
        conn.expect(rb"</message>")
        conn.expect(rb"<r xmlns")
        acknowledged.append(True)
        conn.say(b"<a " + SM + b" h='1'/>")
        conn.rest()

    with client_of(after) as client:
        client.send_chat(2, "x" * (1 << 20))
        client.send_chat(2, "more")
        assert acknowledged
        assert len(sent_of(client)) == 1


BAD = b"<a " + SM + b" h='99'/>"


@pytest.mark.parametrize("said", [b"", b"</stream:stream>", BAD], ids=["ours", "theirs", "bad"])
def test_handled_stanzas_are_acknowledged_before_the_stream_closes(said: bytes) -> None:
    heard: list[bytes] = []

    def after(conn: Conn) -> None:
        conn.say(MESSAGE + said)
        conn.expect(rb"<a xmlns='urn:xmpp:sm:3' h='1'/>")
        heard.append(conn.expect(rb"^(.*)</stream:stream>")[1])
        if not said:
            conn.say(b"</stream:stream>")
        conn.rest()

    with client_of(after) as client:
        client.receive(xmpp.is_chat, timeout=PATIENCE_S)
        client.close()
        until(lambda: heard)
    assert heard[0].startswith(b"<stream:error>" if said == BAD else b"")
    assert bool(heard[0]) is (said == BAD)


@pytest.mark.parametrize("mode", ["acks", "resume"])
@pytest.mark.parametrize("end", ["lost", "forgotten", "cut", "dropped", "closed"])
def test_unacknowledged_stanzas_of_an_ended_session_are_counted_once(
    monkeypatch: pytest.MonkeyPatch, mode: str, end: str
) -> None:
    monkeypatch.setattr(options.xmpp_stream_management, "default", mode)
    unknown = count(meters.stanzas_unacknowledged)

    def after(conn: Conn) -> None:
        conn.expect(rb">1<")
        conn.say(b"<a " + SM + b" h='1'/>" + MESSAGE)
        conn.expect(rb"<presence/>")
        if end == "closed":
            idle(conn)
        elif end in ("lost", "forgotten"):
            conn.reset()
        else:
            conn.rest()

    with serving(managed(after)) as server:
        client = connect(server)
        client.send_chat(2, "0")
        client.send_chat(2, "1")
        client.receive(xmpp.is_chat, timeout=PATIENCE_S)
        client.send_presence()
        if end in ("lost", "forgotten"):
            with pytest.raises(xmpp.Disconnected):
                client.wait(PATIENCE_S)
        elif end == "cut":
            client.cut(reset=True)
        elif end == "closed":
            client.close()
        if end not in ("dropped", "forgotten"):
            client.close()
            client.abort()
        del client
    assert count(meters.stanzas_unacknowledged) - unknown == (0 if end == "closed" else 2)


def test_unacknowledged_stanzas_of_a_user_that_cannot_reconnect_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_reconnect_pause, "default", 0.001)
    unknown = count(meters.stanzas_unacknowledged)
    served: list[Conn] = []
    refusal = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"

    def script(conn: Conn) -> None:
        served.append(conn)
        if len(served) > 1:
            conn.log_in((LOGIN[0], (LOGIN[1][0], refusal)))
        else:
            conn.log_in(SM_LOGIN)
            conn.expect(rb"<presence/>")
            conn.reset()

    def live(address: str) -> None:
        staying = xmpp.staying_connected(1, server=address, mechanism="PLAIN", resumable=True)
        for client in staying:
            with client:
                client.send_presence()
                client.wait(PATIENCE_S)

    with serving(script) as server, pytest.raises(xmpp.SaslError) as raised:
        live(server.address)
    assert raised.traceback  # holds a reference to the client
    assert count(meters.stanzas_unacknowledged) == unknown + 1


HOSTILE: dict[str, tuple[bytes, type[xmpp.XmppError]]] = {
    "acknowledges too much": (b"<a " + SM + b" h='7'/>", xmpp.BadStreamError),
    "acknowledges nonsense": (b"<a " + SM + b" h='many'/>", xmpp.BadStreamError),
    "acknowledges without h": (b"<a " + SM + b"/>", xmpp.BadStreamError),
}


@pytest.mark.parametrize(("said", "kind"), HOSTILE.values(), ids=HOSTILE)
def test_an_invalid_ack_ends_only_that_user(said: bytes, kind: type[xmpp.XmppError]) -> None:
    heard: list[bytes] = []

    def after(conn: Conn) -> None:
        conn.expect(rb"<presence/>")
        conn.say(said)
        heard.append(conn.rest())

    with client_of(after) as client:
        client.send_presence()
        with pytest.raises(kind, match="h must be"):
            client.wait(PATIENCE_S)
        until(lambda: heard)
    assert b"<stream:error>" in heard[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"<resumed " + SM + b" previd='another' h='0'/>",
        b"<resumed " + SM + b" h='0'/>",
        b"<resumed " + SM + b" previd='some-id' h='9'/>",
        b"<resumed " + SM + b" previd='some-id'/>",
        b"<presence/>",
    ],
    ids=["another", "none", "too high", "no h", "no answer"],
)
def test_an_invalid_resumption_ends_only_that_user(answer: bytes) -> None:
    def then(conn: Conn) -> None:
        conn.expect(rb"<resume [^>]*/>")
        conn.say(answer)
        conn.rest()

    with client_of(lambda conn: conn.rest(), then) as client:
        client.cut(reset=True)
        with pytest.raises(xmpp.BadStreamError):
            client.resume(PATIENCE_S)
        assert not client.is_open


def test_a_flood_of_ack_requests_is_answered_once_per_read() -> None:
    answers: list[int] = []

    def after(conn: Conn) -> None:
        conn.expect(rb"<presence/>")
        for _ in range(20):
            conn.say((b"<r " + SM + b"/>") * 1000)
        conn.say(b"</stream:stream>")
        answers.append(conn.rest().count(b"<a "))

    with client_of(after) as client:
        client.send_presence()
        with pytest.raises(xmpp.Disconnected):
            client.wait(PATIENCE_S)
        until(lambda: answers)
    assert 1 <= answers[0] <= 1000


def test_a_server_that_never_acknowledges_blocks_users_and_bounds_handler_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_max_unacknowledged, "default", 5)
    monkeypatch.setattr(options.xmpp_request_timeout, "default", 0.05)

    def after(conn: Conn) -> None:
        conn.expect(rb">5<")
        conn.rest()

    with client_of(after) as client:
        for number in range(5):
            client.send_chat(2, str(number))
        with pytest.raises(xmpp.SendTimeout):
            client.send_chat(2, "5")
    with client_of(lambda conn: (conn.say(MESSAGE), conn.rest())) as client:

        def flood(_: xmpp.Stanza) -> None:
            for _ in range(60):
                client._session.stream.send(b"<presence/>")

        client.on_received(xmpp.is_chat, flood)
        with pytest.raises(xmpp.Disconnected, match="acknowledges too little"):
            client.wait(PATIENCE_S)
        assert len(sent_of(client)) <= 60


def test_errors_say_why_a_session_cannot_be_resumed() -> None:
    with serving(lambda conn: (conn.log_in(), conn.rest())) as server:
        with pytest.raises(ScenarioError, match="resumable=True"):
            connect(server).resume()
        with pytest.raises(xmpp.ConnectError, match="does not offer stream management") as raised:
            connect(server, resumable=True)
    assert raised.value.cause == "unsupported-feature"
    stanza_errors = b"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    refusal = b"<failed " + SM + b"><unexpected-request " + stanza_errors + b"/></failed>"
    for answer, text in (
        (b"<enabled " + SM + b"/>", "does not allow resuming streams"),
        (refusal, "refused stream management: unexpected-request"),
    ):
        steps = (*SM_LOGIN[:4], (SM_LOGIN[4][0], answer))
        with (
            serving(lambda conn, steps=steps: (conn.log_in(steps), conn.rest())) as server,
            pytest.raises(xmpp.ConnectError, match=text),
        ):
            connect(server, resumable=True)


def test_resume_retries_until_its_timeout_and_then_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.xmpp_connect_pause, "default", 0.01)
    with serving(managed(lambda conn: conn.rest())) as server:
        client = connect(server, resumable=True)
        client.cut(reset=True)
    failures = count(meters.connection_failures)
    with pytest.raises(xmpp.ConnectError):
        client.resume(0.1)
    assert count(meters.connection_failures) > failures + 1
    client.close()


# On the embedded server


def pair(server: Server) -> tuple[xmpp.Client, xmpp.Client]:
    options_: dict[str, Any] = {"interrupts": False, "mechanism": "PLAIN", "resumable": True}
    clients = [xmpp.connect(one, server=server.address, **options_) for one in (1, 2)]
    for client in clients:
        client.send_presence()
        client.receive(xmpp.is_presence, timeout=PATIENCE_S)
    return clients[0], clients[1]


@pytest.mark.parametrize("reset", [True, False])
def test_cut_sessions_are_resumed_and_every_message_arrives_once(reset: bool) -> None:
    with Server() as server:
        alice, bob = pair(server)
        for number in range(100):
            alice.send_chat(bob.jid, str(number))
            if number % 10 == 3:
                alice.cut(reset)
                assert alice.resume(PATIENCE_S)
            if number % 10 == 7:
                bob.cut(reset)
                assert bob.resume(PATIENCE_S)
        bodies = [bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body for _ in range(100)]
        assert bodies == [str(number) for number in range(100)]
        bob.ping(timeout=PATIENCE_S)
        assert not bob._session.inbox
        assert server.statistics().resumed == 20
        assert server.statistics().bound == 2
        alice.close()
        bob.close()


def test_a_session_that_hibernates_too_long_ends_and_its_messages_are_stored() -> None:
    with Server(limits=Limits(resume_s=0.1)) as server:
        alice, bob = pair(server)
        bob.cut(reset=True)
        alice.send_chat(bob.jid, "kept")
        until(lambda: server.statistics().bound == 1)
        assert bob.resume(PATIENCE_S) is False
        bob.send_presence()
        assert bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "kept"
        alice.close()
        bob.close()


def test_a_hibernating_session_ends_when_its_backlog_exceeds_the_limit() -> None:
    with Server(limits=Limits(unacknowledged=50)) as server:
        alice, bob = pair(server)
        bob.cut(reset=True)
        until(lambda: server.statistics().connections == 1)
        for number in range(60):
            alice.send_chat(bob.jid, str(number))
        until(lambda: server.statistics().bound == 1)
        assert server.statistics().messages_kept == 60
        assert bob.resume(PATIENCE_S) is False
        alice.close()
        bob.close()


def test_the_number_of_hibernating_sessions_is_limited() -> None:
    with Server(limits=Limits(hibernating=1)) as server:
        alice, bob = pair(server)
        alice.cut(reset=True)
        until(lambda: server.statistics().connections == 1)
        bob.cut(reset=True)
        until(lambda: server.statistics().bound == 1)
        assert bob.resume(PATIENCE_S) is False
        assert alice.resume(PATIENCE_S) is True
        alice.close()
        bob.close()


def test_a_session_cannot_be_resumed_by_another_user() -> None:
    with Server() as server:
        alice, bob = pair(server)
        theirs = bob._session.stream.management.id  # type: ignore[attr-defined]
        alice._session.stream.management.id = theirs  # type: ignore[attr-defined]
        alice.cut(reset=True)
        assert alice.resume(PATIENCE_S) is False
        assert bob.ping(timeout=PATIENCE_S) > 0
        alice.close()
        bob.close()


def test_the_old_connection_gets_a_conflict_when_its_session_is_resumed_elsewhere() -> None:
    with Server() as server:
        alice, bob = pair(server)
        state = bob._session.stream.management  # type: ignore[attr-defined]
        twin = xmpp.connect(
            2, server=server.address, mechanism="PLAIN", resumable=True, resource="twin"
        )
        twin.cut(reset=True)
        twin._session.stream.management = state  # type: ignore[attr-defined]
        assert twin.resume(PATIENCE_S)
        with pytest.raises(xmpp.StreamError) as raised:
            bob.wait(PATIENCE_S)
        assert raised.value.condition == "conflict"
        assert twin.ping(timeout=PATIENCE_S) > 0
        alice.close()
        twin.close()


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("<a xmlns='urn:xmpp:sm:3' h='77'/>", "undefined-condition"),
        ("<a xmlns='urn:xmpp:sm:3'/>", "invalid-xml"),
        ("<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>", "unsupported-stanza-type"),
    ],
)
def test_the_embedded_server_disconnects_a_client_that_breaks_the_protocol(
    said: str, condition: str
) -> None:
    with Server() as server:
        alice, bob = pair(server)
        alice.send(said)
        with pytest.raises(xmpp.StreamError) as raised:
            alice.wait(PATIENCE_S)
        assert raised.value.condition == condition
        assert bob.ping(timeout=PATIENCE_S) > 0
        bob.send("<enable xmlns='urn:xmpp:sm:3'/>")  # a second time
        assert bob.ping(timeout=PATIENCE_S) > 0
        bob.close()
        assert server.statistics().internal_errors == 0


def test_receipts_are_still_sent_after_a_resumption() -> None:
    with Server() as server:
        alice, bob = pair(server)
        bob.send_receipts()
        bob.cut(reset=True)
        assert bob.resume(PATIENCE_S)
        assert alice.send_chat_and_wait(bob.jid, "still there?", PATIENCE_S) < PATIENCE_S
        alice.close()
        bob.close()
