"""A latch: all that wait go on when it opens, and nobody waits beyond its deadline."""

from __future__ import annotations

import gevent
import pytest
from gevent import get_hub

from amoc.base.errors import ScenarioError
from amoc.base.waiting import OpenGate

DEADLINE_S = 60.0


def test_nobody_waits_while_it_is_open():
    assert OpenGate().wait(0)


def test_all_that_wait_go_on_when_it_opens():
    latch = OpenGate()
    latch.shut()
    waiting = [gevent.spawn(latch.wait, DEADLINE_S) for _ in range(100)]
    gevent.sleep(0)
    latch.open()
    latch.open()
    assert all(one.get(timeout=DEADLINE_S) for one in waiting)


def test_who_was_let_go_is_told_so_although_it_was_shut_at_once():
    latch = OpenGate()
    latch.shut()
    waiting = gevent.spawn(latch.wait, DEADLINE_S)
    gevent.sleep(0)
    latch.open()
    latch.shut()
    assert waiting.get(timeout=DEADLINE_S)


def test_a_wait_ends_at_its_deadline_or_when_somebody_else_ends_it():
    latch = OpenGate()
    latch.shut()
    assert not latch.wait(0.001)
    waiters = []

    def wait(waiter, timeout):
        waiters.append(waiter)
        get_hub().loop.run_callback(waiter.wake)
        return waiter.wait(timeout)

    assert not latch.wait(DEADLINE_S, wait)
    assert len(waiters) == 1
    assert not latch.waiting


def test_a_killed_one_waits_no_more():
    latch = OpenGate()
    latch.shut()
    waiting = gevent.spawn(latch.wait)
    gevent.sleep(0)
    waiting.kill()
    assert not latch.waiting
    latch.open()


def test_the_event_loop_itself_must_not_wait():
    latch, errors = OpenGate(), []
    latch.shut()

    def handler():
        with pytest.raises(ScenarioError) as caught:
            latch.wait(DEADLINE_S)
        errors.append(caught.value)

    get_hub().loop.run_callback(handler)
    gevent.sleep(0.001)
    assert errors
    assert not latch.waiting
