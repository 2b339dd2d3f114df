"""Lost and refused connections: what the server sees and what is counted."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from amoc import metrics, xmpp
from amoc.base import name_lookup, pause
from amoc.base.errors import ClosedError
from amoc.base.waiting import interrupt
from amoc.users.user import UserStopped
from amoc.xmpp import errors, meters, options
from amoc.xmpp.connection import causes
from amoc.xmpp.connection.retrying import can_follow
from amoc.xmpp.connection.sockets import connect_error
from amoc.xmpp.transports import silence
from tests.unit.xmpp.fake import PATIENCE_S, Conn, connect, count, idle, serving, session

STREAM_ERRORS = b"xmlns='urn:ietf:params:xml:ns:xmpp-streams'"


def counters() -> dict[str, int]:
    return {one.name: int(one.value) for one in metrics.read() if isinstance(one.value, int)}


def changes(before: dict[str, int], prefix: str, but: str = "\n") -> dict[str, int]:
    """Changes of the counters whose names begin with `prefix` but not with `but`."""
    now = counters()
    changed = {name: value - before.get(name, 0) for name, value in now.items()}
    return {
        name: n
        for name, n in changed.items()
        if n and name.startswith(prefix) and not name.startswith(but)
    }


def unacknowledged(sock: Any) -> int:
    """Return the number of segments the peer has not acknowledged (tcpi_unacked)."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 92), 24)[0]


@pytest.mark.parametrize("way", [xmpp.Client.abort, lambda client: client.cut(reset=True)])
def test_a_dropped_connection_sends_no_stream_end(way: Callable[[xmpp.Client], object]) -> None:
    heard: list[bytes | OSError] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        try:
            heard.append(conn.sock.recv(100))
        except ConnectionResetError as error:
            heard.append(error)

    gone, lost = count(meters.connected), count(meters.disconnections)
    with serving(script) as server:
        client = connect(server)
        way(client)
        client.cut()
        while not heard:
            gevent.sleep(0.001)
        with pytest.raises(ClosedError):
            client.send_presence()
    if way is xmpp.Client.abort:
        assert heard == [b""]
    else:
        assert isinstance(heard[0], ConnectionResetError)
    assert (count(meters.connected), count(meters.disconnections)) == (gone, lost)


def test_a_silent_connection_acknowledges_nothing_and_is_finally_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut, answered = gevent.event.Event(), gevent.event.Event()
    seen: list[object] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        cut.wait()
        conn.say(b" " * 1000)
        with gevent.Timeout(0.3, False):
            seen.append(conn.sock.recv(100))
        seen.append(unacknowledged(conn.sock))
        answered.set()
        try:
            seen.append(conn.sock.recv(100))
        except ConnectionResetError as error:
            seen.append(type(error))
        answered.set()

    monkeypatch.setattr(silence, "MAX_SILENT", 1)
    monkeypatch.setattr(silence, "SILENT_SOCKETS", silence.SilentSockets())
    with serving(script) as server:
        connect(server).cut()
        cut.set()
        assert answered.wait(PATIENCE_S)
        assert len(silence.SILENT_SOCKETS) == 1
        assert seen == [1]  # nothing was received, and the data sent is not acknowledged
        answered.clear()
        connect(server).cut()  # takes the place of the first
        while len(seen) < 2:
            gevent.sleep(0.001)
    assert len(silence.SILENT_SOCKETS) == 1
    assert seen[1] is ConnectionResetError


def test_a_failed_login_is_dropped_but_a_protocol_violation_is_answered() -> None:
    heard: list[bytes] = []

    def script(answer: bytes) -> Callable[[Conn], None]:
        def act(conn: Conn) -> None:
            conn.expect(rb"<stream:stream[^>]*>")
            conn.say(answer)
            heard.append(conn.rest())

        return act

    refusal = (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0'"
        b" xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>"
    )
    for answer, kind in ((refusal, xmpp.SaslError), (b"<oops>", xmpp.BadStreamError)):
        before = len(heard)
        with serving(script(answer)) as server:
            with pytest.raises(kind):
                connect(server)
            while len(heard) == before:
                gevent.sleep(0.001)
    assert heard[0] == b""
    assert heard[1].endswith(b"</stream:error></stream:stream>")


def raised_by(script: Callable[[Conn], object], **options_: Any) -> BaseException:
    with serving(script) as server, pytest.raises(xmpp.XmppError) as raised:
        connect(server, **options_)
    return raised.value


def say_error(condition: bytes, detail: bytes = b"") -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(
            b"<stream:stream xmlns='jabber:client' version='1.0'"
            b" xmlns:stream='http://etherx.jabber.org/streams'>"
            b"<stream:error><" + condition + b" " + STREAM_ERRORS + b">" + detail + b"</"
            + condition + b"></stream:error></stream:stream>"
        )  # fmt: skip
        conn.rest()

    return script


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (say_error(b"host-unknown"), "host-unknown"),
        (say_error(b"policy-violation"), "policy-violation"),
        (say_error(b"made-up"), "undefined-condition"),
        (lambda conn: conn.expect(rb"<stream:stream[^>]*>") and conn.reset(), "reset"),
        (lambda conn: conn.expect(rb"<stream:stream[^>]*>"), "closed"),
        (lambda conn: conn.say(b"<no/>") or conn.rest(), "protocol-violation"),
        (lambda conn: conn.rest(), "timeout-login"),
    ],
    ids=["host", "policy", "invented", "reset", "closed", "no XMPP", "silent"],
)
def test_failed_attempts_are_counted_by_cause(script: Callable[[Conn], object], cause: str) -> None:
    before = counters()
    error = raised_by(script, timeout=0.3 if cause == "timeout-login" else PATIENCE_S)
    assert causes.of(error) == cause
    assert changes(before, "connection_failures") == {
        "connection_failures": 1,
        f"connection_failures.{cause}": 1,
    }
    assert changes(before, "connections") == {"connections_given_up": 1}


def test_retried_attempts_and_users_that_give_up_are_counted_separately() -> None:
    before = counters()
    raised_by(say_error(b"system-shutdown"), attempts=1)
    assert changes(before, "connections_given_up") == {"connections_given_up": 1}
    calls: list[int] = []

    def script(conn: Conn) -> None:
        calls.append(1)
        if len(calls) < 3:
            say_error(b"system-shutdown")(conn)
        else:
            session(idle)(conn)

    before = counters()
    with serving(script) as server, connect(server, attempts=3):
        pass
    assert changes(before, "connection", but="connection.") == {
        "connection_failures": 2,
        "connection_failures.system-shutdown": 2,
        "connections": 1,
    }


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.EADDRNOTAVAIL, "no-local-port"),
        (errno.EMFILE, "out-of-files"),
        (errno.ETIMEDOUT, "timeout-tcp"),
        (errno.EINVAL, "other"),
    ],
)
def test_kernel_errors_map_to_causes(number: int, cause: str) -> None:
    assert causes.of(connect_error(OSError(number, "x"), "me", None)) == cause


def test_causes_come_from_a_fixed_list() -> None:
    assert causes.of(connect_error(TimeoutError(), "me", None)) == "timeout-tcp"
    assert causes.of(ZeroDivisionError()) == "scenario"
    assert causes.of(errors.SaslError("me", "x" * 1000)) == "undefined-condition"
    assert causes.of(errors.TlsRequiredError("me")) == "tls"
    invented = errors.Disconnected("me", "user_17")
    assert causes.of(invented) == "scenario"
    assert len(causes.CAUSES) < 80


def test_lost_sessions_are_counted_by_cause() -> None:
    before = counters()
    with serving(session(Conn.reset)) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected):
            client.wait(PATIENCE_S)
    with serving(session(lambda conn: conn.say(b"<oops>"))) as server:
        client = connect(server)
        client.on_received(None, lambda _: 1 / 0)
        with pytest.raises(xmpp.XmppError):
            client.wait(PATIENCE_S)
    assert changes(before, "disconnections") == {
        "disconnections": 2,
        "disconnections.reset": 1,
        "disconnections.closed": 1,
    }


def begun(act: Callable[[], object]) -> Any:
    """Spawn a greenlet that runs `act`; return it once it waits interruptibly."""
    user: Any = gevent.spawn(act)
    while getattr(user, "waiting_for", None) is None:
        gevent.sleep(0.001)
    return user


@pytest.mark.parametrize("where", ["in the attempt", "in the pause", "in the look-up"])
def test_stopping_a_user_ends_its_connection_attempt(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_connect_pause, "default", 60.0)
    over = threading.Event()  # names are resolved in a thread
    monkeypatch.setattr(name_lookup, "getaddrinfo", lambda *_: over.wait(PATIENCE_S) and [])
    script = say_error(b"system-shutdown") if where == "in the pause" else Conn.rest
    before = counters()
    with serving(script) as server:
        address = "slow.invalid:5222" if where == "in the look-up" else server.address
        user = begun(lambda: connect(address, attempts=2))
        while where == "in the pause" and count(meters.connection_failures) == before.get(
            "connection_failures", 0
        ):
            gevent.sleep(0.001)
        while getattr(user, "waiting_for", None) is None:
            gevent.sleep(0.001)
        assert count(meters.connecting) == 1
        interrupt(user, UserStopped())
        user.join(PATIENCE_S)
    over.set()
    assert isinstance(user.value, UserStopped)
    assert count(meters.connecting) == 0
    assert changes(before, "connections") == {"connections_cancelled": 1}


def test_losing_another_connection_does_not_end_an_attempt() -> None:
    go = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        go.wait()
        conn.reset()

    lost = xmpp.Disconnected("the other one")
    with serving(script) as server:
        user = begun(lambda: connect(server))
        interrupt(user, lost)
        gevent.sleep(0.01)
        assert not user.dead
        assert user.pending_interrupt is lost  # delivered at the user's next wait
        go.set()
        user.join(PATIENCE_S)
    assert isinstance(user.exception, xmpp.Disconnected)
    assert user.exception is not lost


def test_see_other_host_is_followed() -> None:
    before = counters()
    with serving(session(idle)) as other:
        go_there = say_error(b"see-other-host", other.address.encode())
        with serving(go_there) as server, connect(server) as client:
            assert other.address in repr(client._session.stream.who)
    assert changes(before, "redirects") == {"redirects": 1}
    assert changes(before, "connection", but="connection.") == {"connections": 1}


@pytest.mark.parametrize("most", [0, 3])
def test_redirects_are_followed_up_to_a_limit_and_then_reported_with_their_target(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_max_redirects, "default", most)
    before = counters()

    def script(conn: Conn) -> None:
        say_error(b"see-other-host", server.address.encode())(conn)

    with serving(script) as server:
        with pytest.raises(xmpp.SeeOtherHost, match=server.address) as raised:
            connect(server, attempts=5)
        assert raised.value.target == server.address
        assert server.connections == most + 1
    assert changes(before, "connection_failures") == {
        "connection_failures": 1,
        "connection_failures.see-other-host": 1,
    }


@pytest.mark.parametrize("target", ["", "two words", "host:port", "a:b:c", "host:99999"])
def test_an_invalid_redirect_target_is_reported_and_not_followed(target: str) -> None:
    assert not can_follow(target, 0)
    error = raised_by(say_error(b"see-other-host", target.encode()))
    assert isinstance(error, xmpp.SeeOtherHost)
    assert error.target == target
    assert can_follow("host", 0)


@pytest.mark.parametrize(
    ("way", "unfinished"),
    [
        (lambda conn: conn.say(b"</stream:stream>"), 0),
        (lambda conn: None, 1),
        (Conn.reset, 1),
        (Conn.rest, 1),
    ],
    ids=["goodbye", "hangs up", "reset", "silent"],
)
def test_a_close_without_the_servers_stream_end_is_counted(
    way: Callable[[Conn], object], unfinished: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_close_timeout, "default", 0.1)
    before = count(meters.closes_unfinished)

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"</stream:stream>")
        way(conn)

    with serving(script) as server, connect(server):
        pass
    assert count(meters.closes_unfinished) == before + unfinished


def test_a_user_killed_while_the_run_is_paused_leaves_no_session_behind() -> None:
    gone = gevent.event.Event()

    def after(conn: Conn) -> None:
        conn.rest()
        gone.set()

    before = count(meters.connected)
    with serving(session(after)) as server:
        pause.pause()
        try:
            user = gevent.spawn(connect, server)
            while user not in pause.paused_greenlets:
                gevent.sleep(0.001)
            user.kill()
            assert gone.wait(PATIENCE_S)
        finally:
            pause.resume()
    assert count(meters.connected) == before


def test_closing_a_stream_that_fails_meanwhile_does_not_wait() -> None:
    go, lost = gevent.event.Event(), count(meters.closes_unfinished)

    with serving(session(lambda _: go.wait())) as server:
        client = connect(server)
        gevent.get_hub().loop.run_callback(client.send, b"<message/>" * 1_000_000)
        while not client._session.stream.congested:
            gevent.sleep(0.001)
        with gevent.Timeout(1.0):  # less than the 5 seconds of xmpp_close_timeout
            client.close()
        go.set()
    assert count(meters.closes_unfinished) == lost + 1


def test_an_unresponsive_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(session(idle)) as server, socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # once the backlog is full, further connections get no answer
            one.setblocking(False)
            one.connect_ex(black_hole.getsockname())
        good = ("127.0.0.1", int(server.address.rpartition(":")[2]))
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (black_hole.getsockname(), good)
        ]
        monkeypatch.setattr(name_lookup, "getaddrinfo", lambda *_: found)
        with connect("two-addresses.invalid:5222", timeout=1.0) as client:
            assert client.is_open
        for one in waiting:
            one.close()
