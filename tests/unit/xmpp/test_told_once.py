"""A lost connection is reported once, and to a call that concerns it."""

from __future__ import annotations

import gevent
import pytest

from amoc import sleep, xmpp
from amoc.base import pause
from tests.unit.xmpp.fake import Conn, connect, serving, session


def hanging_up(conn: Conn) -> None:
    conn.expect(rb"<presence/>")


def wait_for_the_loss(client: xmpp.Client) -> None:
    """Wait without calling amoc."""
    with gevent.Timeout(10):
        while client.is_open:
            gevent.sleep(0.001)
    gevent.sleep(0.001)


def test_a_loss_reported_by_a_send_is_not_reported_again():
    with serving(session(hanging_up)) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        wait_for_the_loss(client)
        with pytest.raises(xmpp.Disconnected):
            client.send_presence()
        sleep(0)


def test_a_closed_client_reports_nothing():
    with serving(session(hanging_up)) as server:
        client = connect(server, interrupts=True)
        client.send_presence()
        wait_for_the_loss(client)
        client.close()
        sleep(0)


def test_a_scenario_that_reconnects_sees_each_loss_once():
    lost = 0
    with serving(session(hanging_up)) as server:
        for _ in range(2):
            try:
                with connect(server, interrupts=True) as client:
                    client.send_presence()
                    wait_for_the_loss(client)
                    client.send_presence()
            except xmpp.Disconnected:
                lost += 1
            sleep(0.01)
    assert lost == 2


def test_a_loss_during_a_pause_after_receive_timed_out_is_reported_once():
    def lose_in_the_pause() -> None:
        pause.pause()
        with gevent.Timeout(10):
            while not pause.paused_waits:
                gevent.sleep(0.001)
        client._session.stream.fail(xmpp.Disconnected("x", "gone"))
        gevent.sleep(0.01)
        pause.resume()

    with serving(session(hanging_up)) as server:
        client = connect(server, interrupts=True)
        losing = gevent.spawn_later(0.005, lose_in_the_pause)
        with pytest.raises(xmpp.Disconnected):
            client.receive(timeout=0.05)
        losing.join(10)
        sleep(0)
