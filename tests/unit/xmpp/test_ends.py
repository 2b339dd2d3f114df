"""How sessions end, and how users and counters learn of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from amoc import sleep, xmpp
from amoc.base.errors import ClosedError
from amoc.base.waiting import interrupt
from amoc.metrics.board import UserState
from amoc.users.user import User, UserStopped
from amoc.xmpp import meters, options
from amoc.xmpp.session import Session
from amoc.xmpp.stream import Stream
from amoc.xmpp.transports.tcp import TcpTransport
from tests.unit.xmpp.fake import (
    MESSAGE,
    PATIENCE_S,
    Conn,
    FakeServer,
    connect,
    count,
    idle,
    serving,
    session,
)


def hanging_up(conn: Conn) -> None:
    conn.expect(rb"<presence/>")


@pytest.mark.parametrize("ending", [b"</stream:stream>", b""], ids=["stream closed", "hung up"])
def test_losing_the_connection_interrupts_an_unrelated_wait(ending: bytes) -> None:
    gone = count(meters.disconnections)

    def script(conn: Conn) -> None:
        conn.log_in()
        hanging_up(conn)
        conn.say(ending)

    with serving(script) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        with pytest.raises(xmpp.Disconnected, match="closed the"):
            sleep(PATIENCE_S)
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
            gevent.idle()
            sleep(0)  # a pending second interrupt would be raised here


def test_a_user_in_a_foreign_wait_is_interrupted_at_its_next_amoc_wait() -> None:
    with serving(session(hanging_up)) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        while client.is_open:
            gevent.sleep(0.001)
        gevent.sleep(0.001)
        with pytest.raises(xmpp.Disconnected):
            sleep(PATIENCE_S)
        sleep(0)  # once is enough


WAITS: dict[str, Callable[[xmpp.Client], object]] = {
    "receive": xmpp.Client.receive,
    "request": xmpp.Client.ping,
    "wait": lambda client: client.wait(60),
    "wait_until": lambda client: client.wait_until(lambda: False),
    "send_and_receive": lambda client: client.send_and_receive("<message to='a@b'/>", timeout=60),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_stopping_a_user_interrupts_a_waiting_client_which_closes_cleanly(
    wait: Callable[[xmpp.Client], object],
) -> None:
    heard: list[bytes] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        heard.append(conn.expect(rb"</stream:stream>"))
        conn.say(MESSAGE + b"</stream:stream>")

    def act() -> None:
        with connect(server) as client:
            clients.append(client)
            wait(client)

    clients: list[xmpp.Client] = []
    received, failures = count(meters.messages_received), count(meters.disconnections)
    with serving(script) as server:
        user: Any = gevent.spawn(act)
        # While connecting, it waits in the same way.
        while not clients or getattr(user, "waiting_for", None) is None:
            gevent.sleep(0.001)
        interrupt(user, UserStopped())
        user.join(PATIENCE_S)
    assert isinstance(user.value, UserStopped)
    assert not clients[0].is_open
    assert count(meters.messages_received) == received + 1
    assert count(meters.disconnections) == failures


def test_a_user_between_iterations_is_not_interrupted() -> None:
    class Crowd:
        states = memoryview(bytearray(2))
        seed, repeat_num, repeat_interval_s, crash_pause_s = 1, 2.0, 0.0, 0.1
        wait_turn = None
        crashes: list[BaseException] = []  # noqa: RUF012
        kept: list[xmpp.Client] = []  # noqa: RUF012
        left_ = gevent.event.Event()
        between = gevent.event.Event()

        def run_once(self, _: int) -> None:
            if not self.kept:  # the scenario forgets to close the client, and a reference remains
                self.kept.append(connect(server, interrupts=True))

        def crashed(self, _: User, error: BaseException) -> None:
            self.crashes.append(error)

        def iteration_ended(self, _: User) -> None: ...

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


def test_messages_before_the_end_are_received_and_then_the_reason() -> None:
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


def test_a_stream_error_is_reported_even_if_sending_fails_first() -> None:
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
        # Not yielding to the loop keeps the client from reading until two sends have failed.
        closed.wait(PATIENCE_S)
        with pytest.raises(xmpp.StreamError) as raised:
            send_until_error(client)
        assert raised.value.condition == "conflict"


def send_until_error(client: xmpp.Client) -> None:
    for _ in range(3):
        client.send_chat(2, "anybody there?")
    client.wait(PATIENCE_S)


def test_close_waits_for_the_servers_stream_end_and_counts_late_messages() -> None:
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


def test_leaving_the_block_with_an_exception_drops_the_connection_at_once() -> None:
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
    assert heard == [b""]  # a dropped connection sends no stream end


def test_the_gauge_of_connected_users_returns_to_its_previous_value() -> None:
    before = count(meters.connected)
    before = 0 if before != before else before
    with serving(session(idle)) as server:
        clients = [connect(server) for _ in range(3)]
        assert count(meters.connected) == before + 3
        clients[0].close()
        clients[1].abort()
        clients[1].abort()
        clients[2].close()
        assert count(meters.connected) == before


def test_an_unreferenced_client_releases_its_descriptor() -> None:
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


def live_objects() -> int:
    kinds = (xmpp.Client, Session, Stream, TcpTransport)
    return sum(isinstance(one, kinds) for one in gc.get_objects())


def connect_and_end(server: FakeServer, peaceful: bool) -> None:
    client = connect(server)
    client.on_received(None, lambda _: client.close())  # a reference cycle through the client
    if peaceful:
        client.close()
        return
    client.send_presence()
    while client.is_open:
        gevent.sleep(0.001)


@pytest.mark.parametrize("peaceful", [True, False])
def test_closed_clients_are_freed_without_the_garbage_collector(peaceful: bool) -> None:
    def ending(conn: Conn) -> None:
        if peaceful:
            idle(conn)
        else:
            conn.expect(rb"<presence/>")

    with serving(session(ending)) as server:
        gc.collect()
        gc.disable()
        try:
            before = live_objects()
            connect_and_end(server, peaceful)
            gevent.sleep(0.001)  # the loop releases its pending callbacks
            assert live_objects() == before
        finally:
            gc.enable()
