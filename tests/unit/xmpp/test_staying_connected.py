"""Users that reconnect after each loss of their connection, with pauses, until they are stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from amoc import sleep, xmpp
from amoc.base.waiting import interrupt
from amoc.scenario import pacing
from amoc.users.user import UserStopped
from amoc.xmpp import meters, options
from amoc.xmppd import Server
from tests.unit.xmpp.fake import PATIENCE_S, connect, count


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.xmpp_reconnect_pause, "default", 0.01)
    monkeypatch.setattr(options.xmpp_reconnect_max_pause, "default", 0.05)


@pytest.mark.parametrize("resumable", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_each_loss_yields_a_new_client_until_a_block_completes(
    resumable: bool, reset: bool
) -> None:
    outages, resumed = count(meters.outage), count(meters.sessions_resumed)
    lives: list[bool] = []
    with Server() as server:
        for client in xmpp.staying_connected(1, server=server.address, resumable=resumable):
            with client:
                client.send_presence()
                client.receive(xmpp.is_presence, timeout=PATIENCE_S)
                lives.append(client.resumed)
                if len(lives) < 4:
                    client.cut(reset)
                    client.send_presence()  # raises, as after any other loss
        assert not client.is_open
        assert server.statistics().bound in (0, 4)  # silently cut sessions are still bound
    assert lives == [False, *[resumable] * 3]
    assert count(meters.outage) == outages + 3
    assert count(meters.sessions_resumed) == resumed + 3 * resumable


def test_a_lost_connection_ends_the_block_wherever_the_user_waits() -> None:
    lives = 0
    with Server() as server:
        for client in xmpp.staying_connected(1, server=server.address):
            with client:
                lives += 1
                if lives == 1:
                    rival = connect(server.address)  # takes its resource
                    sleep(PATIENCE_S)
                rival.close()
    assert lives == 2


def test_other_errors_end_the_loop_and_the_connection() -> None:
    clients: list[xmpp.Client] = []

    def live(act: Callable[[xmpp.Client], object]) -> None:
        for client in xmpp.staying_connected(1, server=server.address):
            clients.append(client)
            with client:
                act(client)

    with Server() as server:
        with pytest.raises(ZeroDivisionError):
            live(lambda _: 1 / 0)
        with pytest.raises(xmpp.ReceiveTimeout):
            live(lambda client: client.receive(timeout=0.001))
        assert [client.is_open for client in clients] == [False, False]
        with pytest.raises(xmpp.SaslError):
            next(iter(xmpp.staying_connected(1, server=server.address, password="wrong")))


def test_handlers_last_for_one_block() -> None:
    heard: list[int] = []
    with Server() as server:
        for life, client in enumerate(
            xmpp.staying_connected(1, server=server.address, resumable=True)
        ):
            with client:
                client.on_received(xmpp.is_chat, lambda _, life=life: heard.append(life))
                client.send_presence()
                client.receive(xmpp.is_presence, timeout=PATIENCE_S)
                if not life:
                    client.cut(reset=True)
                else:
                    client.send_chat(1, "to myself")
                    client.receive(xmpp.is_chat, timeout=PATIENCE_S)
    assert heard == [1]


def test_retries_continue_until_the_server_is_back_and_the_outage_is_timed() -> None:
    outages, failures = count(meters.outage), count(meters.connection_failures)
    given_up = count(meters.connections_given_up)
    lives = 0

    def come_back() -> None:
        while count(meters.connection_failures) < failures + 3:
            gevent.sleep(0.001)
        servers.append(Server(port=port))
        servers[-1].start()

    servers = [Server()]
    servers[0].start()
    port = servers[0].port
    waiting = gevent.spawn(come_back)
    for client in xmpp.staying_connected(1, server=servers[0].address, resumable=True):
        with client:
            lives += 1
            assert not client.resumed
            if lives == 1:
                servers[0].stop()
                client.wait(PATIENCE_S)
    waiting.join()
    servers[-1].stop()
    assert lives == 2
    assert count(meters.outage) == outages + 1
    assert count(meters.connection_failures) >= failures + 3
    assert count(meters.connections_given_up) == given_up


def test_stopping_the_user_ends_the_retries() -> None:
    with Server() as server:
        address = server.address

    def act() -> None:
        for _ in xmpp.staying_connected(1, server=address):
            raise AssertionError("there is no server")

    cancelled = count(meters.connections_cancelled)
    user: Any = gevent.spawn(act)
    while count(meters.connecting) != 1:
        gevent.sleep(0.001)
    while getattr(user, "waiting_for", None) is None:
        gevent.sleep(0.001)
    interrupt(user, UserStopped())
    user.join(PATIENCE_S)
    assert isinstance(user.value, UserStopped)
    assert count(meters.connections_cancelled) == cancelled + 1


def test_each_attempt_passes_the_configured_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    pacing.provide(passed.append)
    monkeypatch.setattr(options.xmpp_reconnect_throttle, "default", "logins")
    try:
        with Server() as server:
            for client in xmpp.staying_connected(1, server=server.address):
                with client:
                    if len(passed) < 3:
                        client.cut(reset=True)
    finally:
        from amoc import throttle

        pacing.provide(throttle.wait)
    assert passed == ["logins"] * 3
