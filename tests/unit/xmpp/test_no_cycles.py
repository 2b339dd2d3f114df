"""Attempts and sessions are freed at once, however they end: the collector finds nothing.

A crowd of users whose server is down fails thousands of times a second. Any garbage that a failure
leaves to the collector ends up as pauses of the whole worker.
"""

from __future__ import annotations

import gc
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest

from amoc import sleep, xmpp
from amoc.base.errors import ClosedError
from amoc.base.waiting import interrupt
from amoc.users.user import UserStopped
from amoc.xmpp import options
from amoc.xmpp.transports import silence
from amoc.xmppd import Server
from tests.unit.xmpp.fake import HEADER, LOGIN, Conn, connect, serving, session

TIMES = 25


@pytest.fixture(scope="module", autouse=True)
def freeze_existing_objects() -> Iterator[None]:
    """Exclude objects left by other tests from each collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def garbage(act: Callable[[], object], times: int = TIMES) -> Counter[str]:
    """Return the types of cyclic objects left after running `act` `times` times."""
    act()  # creates everything that is created only once
    gevent.sleep(0.01)
    gc.collect()
    for _ in range(times):
        act()
    gevent.sleep(0.01)  # the loop releases its pending callbacks
    gc.set_debug(gc.DEBUG_SAVEALL)  # garbage is kept in gc.garbage instead of being freed
    try:
        gc.collect()
        return Counter(type(one).__name__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def failing(server: object, **options_: object) -> Callable[[], None]:
    """Return a function that fails to connect to `server`."""

    def act() -> None:
        with suppress(xmpp.XmppError, UserStopped):
            connect(server, **options_)  # type: ignore[arg-type]
            raise AssertionError("it has connected")

    return act


@pytest.mark.usefixtures("no_collector")
def test_refused_attempts_leave_no_cycles() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert not garbage(failing(address))


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong"}, {"domain": "nowhere"}, {"mechanism": "SCRAM-SHA-1", "password": "no"}],
    ids=" ".join,
)
def test_refused_logins_leave_no_cycles(wrong: dict[str, str]) -> None:
    with Server() as server:
        assert not garbage(failing(server.address, **wrong))


def test_unknown_host_names_leave_no_cycles(no_collector: None) -> None:
    assert not garbage(failing("nowhere.invalid:5222"), 20)  # each lookup takes a thread


SCRIPTS: dict[str, Callable[[Conn], object]] = {
    "timeout": lambda conn: conn.rest(),
    "reset": lambda conn: (conn.expect(rb"<stream:stream[^>]*>"), conn.reset()),
    "hang up": lambda conn: conn.expect(rb"<stream:stream[^>]*>"),
    "bad XML": lambda conn: (conn.expect(rb"<stream:stream[^>]*>"), conn.say(b"<<"), conn.rest()),
    "in SASL": lambda conn: (conn.log_in(LOGIN[:2]), conn.reset()),
    "no bind": lambda conn: (
        conn.log_in(LOGIN[:2]),
        conn.expect(rb"<stream:stream[^>]*>"),
        conn.say(HEADER + b"<stream:features/>"),
        conn.rest(),
    ),
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_interrupted_logins_leave_no_cycles(script: Callable[[Conn], object]) -> None:
    waits = script is SCRIPTS["timeout"]
    with serving(script) as server:
        assert not garbage(failing(server, timeout=0.001 if waits else 60.0))


def test_connection_attempts_of_stopped_users_leave_no_cycles(no_collector: None) -> None:
    with serving(lambda conn: conn.rest()) as server:
        act = failing(server)

        def stopped() -> None:
            user = gevent.spawn(act)
            while getattr(user, "waiting_for", None) is None:
                gevent.sleep(0)
            interrupt(user, UserStopped())
            user.join()

        assert not garbage(stopped, 200)


def ended_by(ending: Callable[[xmpp.Client], object]) -> Callable[..., Callable[[], None]]:
    def make(address: str, **how: Any) -> Callable[[], None]:
        def act() -> None:
            with (
                suppress(xmpp.XmppError, ZeroDivisionError, ClosedError),
                connect(address, **how) as client,
            ):
                ending(client)

        return act

    return make


def raising_handler(client: xmpp.Client) -> None:
    client.on_received(None, lambda _: 1 / 0)
    client.send_presence()
    client.receive(timeout=60.0)


ENDINGS: dict[str, Callable[[xmpp.Client], object]] = {
    "close": xmpp.Client.close,
    "abort": xmpp.Client.abort,
    "reset": lambda client: client.cut(reset=True),
    "silence": xmpp.Client.cut,
    "exception": lambda _: 1 / 0,
    "stream error": lambda client: (client.send("<a></b>"), client.receive(timeout=60.0)),
    "request": lambda client: (client.send("<a/>"), client.ping()),
    "handler": raising_handler,
    "match": lambda client: (client.send_presence(), client.receive(lambda _: 1 / 0)),
    "closed before": lambda client: (client.abort(), client.wait(1)),
}


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "TCP": ("", {}),
    "WebSocket": ("ws://", {}),
    "managed": ("", {"resumable": True}),
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(("scheme", "how"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_sessions_leave_no_cycles_however_they_end(
    ending: Callable[[xmpp.Client], object],
    scheme: str,
    how: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "MAX_SILENT", 10)
    with Server() as server:
        times = TIMES if how == {} and not scheme else 50
        assert not garbage(ended_by(ending)(f"{scheme}{server.address}", **how), times)


@pytest.mark.usefixtures("no_collector")
def test_resumed_sessions_leave_no_cycles() -> None:
    def act() -> None:
        with connect(server.address, resumable=True) as client:
            client.on_received(None, lambda _: client)
            client.cut(reset=True)
            assert client.resume(60.0)

    with Server() as server:
        assert not garbage(act, 100)


@pytest.mark.usefixtures("no_collector")
def test_a_user_interrupted_by_the_end_of_its_session_leaves_no_cycles() -> None:
    def hanging_up(conn: Conn) -> None:
        conn.expect(rb"<presence/>")

    def act() -> None:
        with suppress(xmpp.XmppError):
            client = connect(server, interrupts=True)
            client.send_presence()
            sleep(10.0)

    def act_later() -> None:
        with suppress(xmpp.XmppError):
            client = connect(server, interrupts=True)
            client.send_presence()
            while client.is_open:
                gevent.sleep(0.0001)
            gevent.sleep(0)
            with suppress(xmpp.XmppError):
                client.send_presence()
            client.send_presence()

    with serving(session(hanging_up)) as server:
        assert not garbage(act, 200)
        assert not garbage(act_later, 200)
    assert options
