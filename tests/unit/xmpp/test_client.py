"""The client against a server that says what the test wants: waiting, handlers, and the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from amoc import xmpp
from amoc.board import UserState
from amoc.errors import ClosedError, ScenarioError
from amoc.user import Leave, User
from amoc.xmpp import meters, options
from tests.unit.xmpp.fake import (
    LOGIN,
    MESSAGE,
    PATIENCE_S,
    Conn,
    connect,
    idle,
    serving,
    session,
)


def count(counter: Any) -> int:
    return int(counter._cells[0])


def saying(*stanzas: bytes) -> Callable[[Conn], None]:
    """A script that waits for the client's presence, says `stanzas`, and then nothing."""

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        for stanza in stanzas:
            conn.say(stanza)
        idle(conn)

    return script


def number(body: int) -> bytes:
    return b"<message from='user_2@localhost/amoc' type='chat'><body>%d</body></message>" % body


# Receiving


def test_receive_takes_what_matches_and_leaves_the_rest_in_order() -> None:
    with (
        serving(saying(number(1), b"<presence from='x@y'/>", number(2), number(3))) as server,
        connect(server) as client,
    ):
        client.send_presence()
        assert client.receive(xmpp.has_body("2"), timeout=PATIENCE_S).body == "2"
        assert client.receive(xmpp.is_presence, timeout=PATIENCE_S).sender == "x@y"
        assert client.receive(timeout=PATIENCE_S).body == "1"
        assert client.receive(timeout=PATIENCE_S).body == "3"


def test_receive_gives_up_in_time_and_says_what_did_not_come() -> None:
    with serving(session(idle)) as server, connect(server) as client:
        with pytest.raises(xmpp.ReceiveTimeout, match=r"no \(is_chat & has_body\('x'\)\) came"):
            client.receive(xmpp.is_chat & xmpp.has_body("x"), timeout=0.01)
        with pytest.raises(TimeoutError, match="no stanza came within 0 s"):
            client.receive(timeout=0)


def test_a_predicate_that_raises_is_the_receivers_own_error() -> None:
    def bad(_: xmpp.Stanza) -> bool:
        raise ZeroDivisionError("mine")

    with serving(saying(number(1), number(2))) as server, connect(server) as client:
        client.send_presence()
        with pytest.raises(ZeroDivisionError, match="mine"):
            client.receive(bad, timeout=PATIENCE_S)
        assert client.is_open
        assert client.receive(xmpp.has_body("2"), timeout=PATIENCE_S).body == "2"


def test_the_inbox_drops_the_oldest_and_counts_it() -> None:
    dropped = count(meters.inbox_dropped)
    with (
        serving(saying(*map(number, range(10)))) as server,
        connect(server, inbox_size=3) as client,
    ):
        client.send_presence()
        last = gevent.event.Event()
        client.on_received(xmpp.has_body("9"), lambda _: last.set())
        assert last.wait(PATIENCE_S)
        client.wait(0)
        got = [client.receive(timeout=PATIENCE_S).body for _ in range(3)]
    assert got == ["7", "8", "9"]
    assert count(meters.inbox_dropped) == dropped + 7


def test_an_inbox_of_size_0_keeps_nothing_and_counts_nothing_as_dropped() -> None:
    dropped, received = count(meters.inbox_dropped), count(meters.messages_received)
    with (
        serving(saying(*map(number, range(10)))) as server,
        connect(server, inbox_size=0) as client,
    ):
        client.send_presence()
        seen: list[str | None] = []
        client.on_received(xmpp.is_chat, lambda message: seen.append(message.body))
        assert client.wait_until(lambda: len(seen) == 10, timeout=PATIENCE_S)
        with pytest.raises(xmpp.ReceiveTimeout):
            client.receive(timeout=0)
    assert count(meters.inbox_dropped) == dropped
    assert count(meters.messages_received) == received + 10


def test_several_greenlets_may_receive_at_once() -> None:
    with serving(saying(number(1), number(2), number(3))) as server, connect(server) as client:
        waiting = [
            gevent.spawn(client.receive, xmpp.has_body(str(body)), PATIENCE_S) for body in (3, 1, 2)
        ]
        gevent.idle()
        client.send_presence()
        gevent.joinall(waiting, timeout=PATIENCE_S, raise_error=True)
        assert [one.value.body for one in waiting] == ["3", "1", "2"]


def test_a_receiver_that_was_killed_takes_nothing() -> None:
    with serving(saying(number(1))) as server, connect(server) as client:
        waiting = gevent.spawn(client.receive)
        gevent.idle()
        waiting.kill()
        client.send_presence()
        assert client.receive(timeout=PATIENCE_S).body == "1"


def test_send_and_receive_waits_for_what_comes_afterwards() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say(MESSAGE)
        conn.expect(rb"<message[^>]*>.*?</message>")
        conn.say(MESSAGE.replace(b"hello", b"answer"))
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert client.wait_until(lambda: client._session.inbox, timeout=PATIENCE_S)
        raw = "<message to='user_2@localhost' type='chat'><body>?</body></message>"
        assert client.send_and_receive(raw, timeout=PATIENCE_S).body == "answer"
        assert client.receive(timeout=PATIENCE_S).body == "hello"
        with pytest.raises(ScenarioError, match="needs a match"):
            client.send_and_receive("<presence/>")


def test_time_to_delivery_is_taken_when_the_bytes_are_read() -> None:
    timed = sum(meters.message_ttd._cells[:-1])

    def script(conn: Conn) -> None:
        conn.log_in()
        stamp = conn.expect(rb"<message [^>]*id='([^']*)'")[1]
        other = b"00000000" + stamp[8:]  # another host's clock
        for stanza_id in (
            stamp,
            other,
            stamp[:9],
            stamp[:9] + b"9" * 500,
            stamp[:9] + b"-1",
            b"m1",
        ):
            conn.say(b"<message id='%s'/>" % stanza_id)
        conn.say(b"<message type='error' id='%s'/>" % stamp)
        idle(conn)

    with serving(script) as server, connect(server) as client:
        client.send_chat(2, "now")
        for _ in range(6):
            client.receive(timeout=PATIENCE_S)
    assert sum(meters.message_ttd._cells[:-1]) == timed + 1


# Asking


def answering(answer: bytes) -> Callable[[Conn], None]:
    """A script that answers an iq; ``ID`` in the answer is the request's."""

    def script(conn: Conn) -> None:
        conn.log_in()
        asked = conn.expect(rb"<iq [^>]*id='([^']*)'")[1]
        conn.say(answer.replace(b"ID", asked))
        idle(conn)

    return script


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (None, b""),
        (None, b"from='user_1@localhost'"),
        (None, b"from='user_1@localhost/amoc'"),
        (None, b"from='localhost'"),
        ("localhost", b"from='localhost'"),
        ("localhost", b""),
        ("User_9@LOCALHOST", b"from='user_9@localhost'"),
    ],
)
def test_an_answer_from_whom_was_asked_is_one(to: str | None, sender: bytes) -> None:
    with (
        serving(answering(b"<iq type='result' id='ID' %s/>" % sender)) as server,
        connect(server) as client,
    ):
        assert client.request("<q xmlns='urn:q'/>", PATIENCE_S, to=to).type == "result"


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (None, b"from='mallory@localhost'"),
        ("user_9@localhost", b"from='mallory@localhost'"),
        ("user_9@localhost", b""),
        ("localhost", b"from='user_1@localhost'"),
    ],
)
def test_an_answer_from_somebody_else_is_none(to: str | None, sender: bytes) -> None:
    with (
        serving(answering(b"<iq type='result' id='ID' %s/>" % sender)) as server,
        connect(server) as client,
    ):
        with pytest.raises(xmpp.IqTimeout):
            client.request("<q xmlns='urn:q'/>", 0.05, to=to)
        assert client.receive(xmpp.is_answer, timeout=PATIENCE_S).type == "result"


def test_a_refused_request_tells_condition_kind_and_text() -> None:
    error = (
        b"<iq type='error' id='ID'><error type='wait'>"
        b"<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>later\n</text></error></iq>"
    )
    with (
        serving(answering(error)) as server,
        connect(server) as client,
        pytest.raises(xmpp.IqError, match=r"resource-constraint \(later\)") as raised,
    ):
        client.request("<q xmlns='urn:q'/>")
    assert (raised.value.condition, raised.value.kind) == ("resource-constraint", "wait")
    assert raised.value.text == "later\n"


@pytest.mark.parametrize("iq", ["<iq type='result'/>", "<iq/>"])
def test_what_asks_for_nothing_is_no_request(iq: str) -> None:
    with (
        serving(session(idle)) as server,
        connect(server) as client,
        pytest.raises(ScenarioError, match="get or set"),
    ):
        client.request(iq)


def test_two_requests_with_one_id_cannot_wait_at_once() -> None:
    with serving(session(idle)) as server, connect(server) as client:
        first = gevent.spawn(client.request, "<iq type='get' id='a'/>")
        gevent.idle()
        with pytest.raises(ScenarioError, match="'a' is waiting"):
            client.request("<iq type='get' id='a'/>")
        first.kill()


# Being asked


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (
            b"<iq type='get' id='a&amp;b' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
            rb"<iq type='result' id='a&amp;b' to='localhost'></iq>",
        ),
        (
            b"<iq type='set' id='r'><query xmlns='jabber:iq:roster'/></iq>",
            rb"<iq type='result' id='r'></iq>",
        ),
        (
            b"<iq type='get' id='v' from='a@b/c'><query xmlns='jabber:iq:version'/></iq>",
            rb"<iq type='error' id='v' to='a@b/c'><error type='cancel'><service-unavailable ",
        ),
        (b"<iq type='get' id='e' from='a@b/c'/>", rb"<iq type='error' id='e' to='a@b/c'>"),
        (
            (
                b"<iq type='set' id='f' from='mallory@b'><query xmlns='jabber:iq:roster'/></iq>"
                b"<iq type='get' id='g'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            rb"^<iq type='result' id='g'>",  # nothing before it
        ),
    ],
    ids=["ping", "roster push", "unknown", "empty", "roster push by a stranger"],
)
def test_requests_of_others_are_answered_while_the_user_waits(
    request_: bytes, answer: bytes
) -> None:
    answered = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say(request_)
        conn.expect(answer)
        answered.set()
        conn.say(MESSAGE)
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert client.receive(xmpp.is_message, timeout=PATIENCE_S).body == "hello"
        assert answered.is_set()


def test_who_receives_a_request_answers_it() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        conn.say(b"<iq type='get' id='v' from='a@b/c'><query xmlns='jabber:iq:version'/></iq>")
        conn.expect(rb"^<iq type='result' id='v'/>")
        conn.say(MESSAGE)
        idle(conn)

    with serving(script) as server, connect(server) as client:
        waiting = gevent.spawn(client.receive, xmpp.is_request, PATIENCE_S)
        gevent.idle()
        client.send_presence()
        client.send(f"<iq type='result' id='{waiting.get(timeout=PATIENCE_S).id}'/>")
        assert client.receive(timeout=PATIENCE_S).body == "hello"


# Handlers


def test_handlers_see_what_is_sent_and_received_until_taken_away() -> None:
    seen: list[str] = []
    with serving(saying(number(1), number(2))) as server, connect(server) as client:
        off_sent = client.on_sent(xmpp.is_presence, lambda stanza: seen.append(f"sent {stanza}"))
        client.on_sent(xmpp.is_chat, lambda stanza: seen.append(f"sent {stanza.body}"))
        off = client.on_received(None, lambda stanza: seen.append(f"received {stanza.body}"))
        client.send_presence()
        client.receive(xmpp.has_body("2"), timeout=PATIENCE_S)
        off()
        off_sent()
        client.send_presence()
        client.send_chat(2, "<&>")
        client.send("not xml")
        assert seen == ["sent <presence/>", "received 1", "received 2", "sent <&>"]
        client.abort()


def test_what_a_handler_raises_ends_the_user_wherever_it_waits() -> None:
    def broken(_: xmpp.Stanza) -> None:
        raise LookupError("in the handler")

    with serving(saying(number(1))) as server:
        client = connect(server, interrupts=True)
        client.on_received(xmpp.is_chat, broken)
        client.send_presence()
        with pytest.raises(LookupError, match="in the handler"):
            gevent.sleep(PATIENCE_S)
        with pytest.raises(LookupError):
            client.send_presence()
        client.close()


def test_a_handler_must_not_wait_and_is_told_so() -> None:
    with serving(saying(number(1))) as server:
        client = connect(server)
        client.on_received(xmpp.is_chat, lambda _: client.receive())
        client.send_presence()
        with pytest.raises(ScenarioError, match="must not wait"):
            client.wait(PATIENCE_S)
        client.close()


def test_a_handler_may_close_the_client() -> None:
    with serving(saying(number(1) + number(2))) as server:
        client = connect(server)
        seen: list[str | None] = []
        client.on_received(xmpp.is_chat, lambda stanza: (seen.append(stanza.body), client.close()))
        client.send_presence()
        with pytest.raises(ClosedError):
            client.wait(PATIENCE_S)
        assert seen == ["1"]


# The end


def hanging_up(conn: Conn) -> None:
    conn.expect(rb"<presence/>")


@pytest.mark.parametrize("ending", [b"</stream:stream>", b""], ids=["stream closed", "hung up"])
def test_a_user_that_waits_for_something_else_is_interrupted(ending: bytes) -> None:
    gone = count(meters.disconnections)

    def script(conn: Conn) -> None:
        conn.log_in()
        hanging_up(conn)
        conn.say(ending)

    with serving(script) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        with pytest.raises(xmpp.Disconnected, match="closed the"):
            gevent.sleep(PATIENCE_S)
        with pytest.raises(xmpp.Disconnected):
            client.send_presence()
    assert count(meters.disconnections) == gone + 1


def test_a_user_is_not_interrupted_twice() -> None:
    with serving(session(hanging_up)) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        with pytest.raises(xmpp.Disconnected):
            client.receive()
        for _ in range(5):
            gevent.idle()  # an interruption that was still to come would come here


def test_a_user_between_its_iterations_is_left_alone() -> None:
    class Crowd:
        states = memoryview(bytearray(2))
        seed, repeat_num, repeat_interval_s = 1, 2.0, 0.0
        crashes: list[BaseException] = []  # noqa: RUF012
        kept: list[xmpp.Client] = []  # noqa: RUF012
        left_ = gevent.event.Event()
        between = gevent.event.Event()

        def run_once(self, _: int) -> None:
            if not self.kept:  # it forgets to close the client, and somebody keeps it
                self.kept.append(connect(server, interrupts=True))

        def crashed(self, _: User, error: BaseException) -> None:
            self.crashes.append(error)

        def left(self, _: User) -> None:
            self.left_.set()

    with serving(session(hanging_up)) as server:
        crowd = Crowd()
        crowd.repeat_interval_s = 1000.0
        user = User(1, crowd)
        gevent.get_hub().loop.run_callback(user.switch)
        while crowd.states[1] != UserState.BETWEEN:
            gevent.sleep(0.001)
        crowd.kept[0].send_presence()
        while crowd.kept[0].is_open:
            gevent.sleep(0.001)
        gevent.idle()
        assert not user.dead
        user.kill()
        assert crowd.left_.wait(PATIENCE_S)
        assert crowd.crashes == []


def test_what_came_before_the_end_is_still_received_and_then_the_reason() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        conn.say(
            MESSAGE
            + b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"</stream:error></stream:stream>"
        )

    with serving(script) as server:
        client = connect(server)
        client.send_presence()
        while client.is_open:
            gevent.sleep(0.001)
        assert client.receive(timeout=PATIENCE_S).body == "hello"
        with pytest.raises(xmpp.StreamError) as raised:
            client.receive(timeout=PATIENCE_S)
        assert raised.value.condition == "system-shutdown"


def test_a_stream_error_is_heard_even_when_sending_fails_first() -> None:
    closed = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        conn.say(
            b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
        conn.sock.close()
        closed.set()

    with serving(script) as server:
        client = connect(server)
        client.send_presence()
        # The client is kept from reading by not letting the loop turn until two sends have failed.
        closed.wait(PATIENCE_S)
        with pytest.raises(xmpp.StreamError) as raised:
            send_until_told(client)
        assert raised.value.condition == "conflict"


def send_until_told(client: xmpp.Client) -> None:
    for _ in range(3):
        client.send_chat(2, "anybody there?")
    client.wait(PATIENCE_S)


def test_close_waits_for_the_servers_goodbye_and_counts_what_still_comes() -> None:
    received = count(meters.messages_received)

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"</stream:stream>")
        conn.say(MESSAGE * 50 + b"</stream:stream>")

    gone = count(meters.disconnections)
    with serving(script) as server, connect(server):
        pass
    assert count(meters.messages_received) == received + 50
    assert count(meters.disconnections) == gone


@pytest.mark.parametrize("way", [Conn.rest, Conn.reset, lambda conn: conn.say(b"<oops")])
def test_close_never_fails_and_never_hangs(
    way: Callable[[Conn], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_close_timeout, "default", 0.05)

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"</stream:stream>")
        way(conn)

    with serving(script) as server:
        client = connect(server, interrupts=True)
        client.close()
        client.close()
        assert not client.is_open
        with pytest.raises(ClosedError, match="closed"):
            client.send_chat(2, "too late")
        gevent.idle()


def test_leaving_by_an_exception_drops_the_connection_at_once() -> None:
    heard: list[bytes] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        heard.append(conn.rest())

    with serving(script) as server:
        with pytest.raises(KeyError), connect(server) as client:
            raise KeyError
        assert not client.is_open
        while not heard:
            gevent.sleep(0.001)
    assert heard == [b"</stream:stream>"]


def test_the_gauge_of_connected_users_comes_back_to_where_it_was() -> None:
    before = meters.connected._cells[0]
    before = 0 if before != before else before
    with serving(session(idle)) as server:
        clients = [connect(server) for _ in range(3)]
        assert meters.connected._cells[0] == before + 3
        clients[0].close()
        clients[1].abort()
        clients[1].abort()
        clients[2].close()
        assert meters.connected._cells[0] == before


def test_a_client_that_nobody_holds_gives_its_descriptor_back() -> None:
    gone = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.rest()
        gone.set()

    with serving(script) as server:
        client = connect(server)
        assert client.is_open
        del client
        assert gone.wait(PATIENCE_S)


# Connecting


def test_a_passing_failure_is_tried_again_on_the_next_server() -> None:
    def busy(conn: Conn) -> None:
        conn.expect(rb"<stream:stream")
        conn.log_in(LOGIN[:0])

    failures, connections = count(meters.connection_failures), count(meters.connections)
    with serving(busy) as bad, serving(session(idle)) as good:
        servers = f"{good.address},{bad.address}"  # user 1 begins with the second
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(options.xmpp_servers, "default", servers)
            patch.setattr(options.xmpp_connect_pause, "default", 0.001)
            with xmpp.connect(1, mechanism="PLAIN", attempts=2) as client:
                assert client.is_open
        assert (bad.connections, good.connections) == (1, 1)
    assert count(meters.connection_failures) == failures + 1
    assert count(meters.connections) == connections + 1


def test_a_wrong_password_is_not_tried_again() -> None:
    def refusing(conn: Conn) -> None:
        conn.log_in(LOGIN[:1])
        conn.expect(rb"<auth")
        conn.say(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
        conn.rest()

    with serving(refusing) as server, pytest.raises(xmpp.SaslError):
        connect(server, attempts=5)
    assert server.connections == 1


def test_a_user_that_is_told_to_leave_does_not_try_again() -> None:
    class Crowd:
        states = memoryview(bytearray(2))
        seed, repeat_num, repeat_interval_s = 1, 1.0, 0.0
        errors: list[BaseException] = []  # noqa: RUF012
        gone = gevent.event.Event()

        def run_once(self, user_id: int) -> None:
            xmpp.connect(user_id, server=address, attempts=1_000_000)

        def crashed(self, _: User, error: BaseException) -> None:
            self.errors.append(error)

        def left(self, _: User) -> None:
            self.gone.set()

    with serving(idle) as server:
        address = server.address
    crowd = Crowd()
    user = User(1, crowd)
    gevent.get_hub().loop.run_callback(user.switch)
    gevent.sleep(0.01)
    user.ask_to_leave(Leave.RUN_ENDS)
    assert crowd.gone.wait(PATIENCE_S)
    assert isinstance(crowd.errors[0], xmpp.ConnectError)


def test_a_connection_attempt_leaves_no_descriptor_behind() -> None:
    def refusing(conn: Conn) -> None:
        conn.expect(rb"<stream:stream")

    with serving(refusing) as server:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with pytest.raises(xmpp.Disconnected):
                connect(server)
        gevent.sleep(0.01)  # the server's ends
        after = len(list(Path("/proc/self/fd").iterdir()))
    assert after <= before + 1


def test_nobody_to_log_in_as_is_said_so() -> None:
    with pytest.raises(ScenarioError, match="user_id or a username"):
        xmpp.connect(server="127.0.0.1:1")
    with pytest.raises(ScenarioError, match="mechanism must be one of"):
        xmpp.connect(1, mechanism="DIGEST-MD5")
    with pytest.raises(ScenarioError, match="server must be host:port"):
        xmpp.connect(1, server="::1:5222:x")


# Tracing


def test_a_trace_shows_what_was_said_without_secrets() -> None:
    seen: list[tuple[str, str, str]] = []
    xmpp.trace(lambda *what: seen.append(what))
    try:
        with serving(saying(MESSAGE)) as server, connect(server) as client:
            xmpp.trace(None)
            client.send_presence()
            client.receive(timeout=PATIENCE_S)
            client.send("<iq type='set'><query><password>pass word_1</password></query></iq>")
    finally:
        xmpp.trace(None)
    sent = [text for direction, _, text in seen if direction == "sent"]
    received = "".join(text for direction, _, text in seen if direction == "received")
    assert sent[0].startswith("<?xml")
    assert sent[1].endswith("mechanism='PLAIN'>***</auth>")
    assert "<presence/>" in sent
    assert "<iq type='set'><query><password>***</password></query></iq>" in sent
    assert MESSAGE.decode() in received
    assert all("password_1" not in text and "cGFzc3dvcmRf" not in text for *_, text in seen)
    assert {who for _, who, _ in seen} == {f"user_1@localhost at {server.address}"}
