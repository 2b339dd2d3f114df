"""Receiving: waiting, the inbox, handlers and measurements."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import gevent
import pytest

from amoc import sleep, xmpp
from amoc.base.errors import ClosedError, ScenarioError
from amoc.xmpp import meters
from tests.unit.xmpp.fake import (
    MESSAGE,
    PATIENCE_S,
    Conn,
    connect,
    count,
    idle,
    number,
    saying,
    serving,
    session,
)


def test_receive_takes_the_matching_stanza_and_leaves_the_rest_in_order() -> None:
    with (
        serving(saying(number(1), b"<presence from='x@y'/>", number(2), number(3))) as server,
        connect(server) as client,
    ):
        client.send_presence()
        assert client.receive(xmpp.has_body("2"), timeout=PATIENCE_S).body == "2"
        assert client.receive(xmpp.is_presence, timeout=PATIENCE_S).sender == "x@y"
        assert client.receive(timeout=PATIENCE_S).body == "1"
        assert client.receive(timeout=PATIENCE_S).body == "3"


def test_receive_times_out_and_says_what_did_not_arrive() -> None:
    with serving(session(idle)) as server, connect(server) as client:
        with pytest.raises(xmpp.ReceiveTimeout, match=r"no \(is_chat & has_body\('x'\)\) arrived"):
            client.receive(xmpp.is_chat & xmpp.has_body("x"), timeout=0.01)
        with pytest.raises(TimeoutError, match="no stanza arrived within 0 s"):
            client.receive(timeout=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.receive(timeout=nan),
        lambda client: client.send_and_receive("<presence to='x'/>", timeout=nan),
        lambda client: client.wait(nan),
        lambda client: client.wait_until(lambda: False, nan),
        lambda client: client.request("<query xmlns='x'/>", timeout=nan),
        lambda client: client.join("room@conference.localhost", "nick", timeout=nan),
    ],
)
def test_a_time_limit_that_is_no_number_is_refused(call: Callable[[xmpp.Client], object]) -> None:
    with serving(session(idle)) as server, connect(server) as client:
        for _ in range(2):  # the second time, what the first one made is used again
            with pytest.raises(ScenarioError, match="a time must be a number of seconds, got nan"):
                call(client)
        with pytest.raises(xmpp.ReceiveTimeout):
            client.receive(timeout=0.001)


def test_a_time_limit_of_connecting_that_is_no_number_is_refused() -> None:
    with (
        serving(session(idle)) as server,
        pytest.raises(ScenarioError, match="a time must be a number of seconds, got nan"),
    ):
        connect(server, timeout=nan)


def test_successive_waits_each_match_their_own_stanza() -> None:
    with serving(saying(*map(number, range(4)))) as server, connect(server) as client:
        client.send_presence()
        for text in ("0", "1"):
            assert client.receive(xmpp.has_body(text), timeout=PATIENCE_S).body == text
        with pytest.raises(xmpp.ReceiveTimeout, match="no is_presence arrived"):
            client.receive(xmpp.is_presence, timeout=0.01)
        others = [gevent.spawn(client.receive, xmpp.is_presence, timeout=0.01) for _ in range(2)]
        assert client.receive(xmpp.has_body("3")).body == "3"
        assert client.receive(timeout=PATIENCE_S).body == "2"
        gevent.joinall(others, timeout=PATIENCE_S)
        assert all(isinstance(one.exception, xmpp.ReceiveTimeout) for one in others)


def test_an_exception_in_a_predicate_is_raised_in_the_receiver() -> None:
    def bad(_: xmpp.Stanza) -> bool:
        raise ZeroDivisionError("mine")

    with serving(saying(number(1), number(2))) as server, connect(server) as client:
        client.send_presence()
        with pytest.raises(ZeroDivisionError, match="mine"):
            client.receive(bad, timeout=PATIENCE_S)
        assert client.is_open
        assert client.receive(xmpp.has_body("2"), timeout=PATIENCE_S).body == "2"


def test_a_full_inbox_drops_and_counts_the_oldest() -> None:
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


def test_a_killed_receiver_takes_nothing() -> None:
    with serving(saying(number(1))) as server, connect(server) as client:
        waiting = gevent.spawn(client.receive)
        gevent.idle()
        waiting.kill()
        client.send_presence()
        assert client.receive(timeout=PATIENCE_S).body == "1"


def test_send_and_receive_ignores_earlier_stanzas() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say(MESSAGE)
        conn.expect(rb"<message[^>]*>.*?</message>")
        conn.say(MESSAGE.replace(b"hello", b"answer"))
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert client.wait_until(lambda: "1 stanzas" in repr(client), timeout=PATIENCE_S)
        raw = "<message to='user_2@localhost' type='chat'><body>?</body></message>"
        assert client.send_and_receive(raw, timeout=PATIENCE_S).body == "answer"
        assert client.receive(timeout=PATIENCE_S).body == "hello"
        with pytest.raises(ScenarioError, match="needs a match"):
            client.send_and_receive("<presence/>")


def test_time_to_delivery_is_recorded_only_for_valid_stamps_of_this_host() -> None:
    timed = count(meters.message_ttd)

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
    assert count(meters.message_ttd) == timed + 1


def test_handlers_see_sent_and_received_stanzas_until_removed() -> None:
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


def test_an_exception_in_a_handler_ends_the_user_wherever_it_waits() -> None:
    def broken(_: xmpp.Stanza) -> None:
        raise LookupError("in the handler")

    with serving(saying(number(1))) as server:
        client = connect(server, interrupts=True)
        client.on_received(xmpp.is_chat, broken)
        client.send_presence()
        with pytest.raises(LookupError, match="in the handler"):
            sleep(PATIENCE_S)
        with pytest.raises(LookupError):
            client.send_presence()
        client.close()


def test_waiting_in_a_handler_is_an_error() -> None:
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
