"""Waiting for one thing: the first result wins, and nobody is woken twice."""

from __future__ import annotations

import gevent
import pytest

from amoc.base.errors import ScenarioError
from amoc.base.waiting import Waiter


def test_a_value_already_set_is_returned_at_once() -> None:
    waiter: Waiter[str] = Waiter()
    waiter.set("x")
    assert waiter.wait(0)
    assert waiter.value == "x"
    waiter.set("y")
    waiter.fail(ValueError())
    assert waiter.wait()
    assert waiter.value == "x"


def test_a_wait_times_out() -> None:
    waiter: Waiter[str] = Waiter()
    assert not waiter.wait(0.001)
    waiter.set("late")
    waiter.wake()  # nobody is waiting
    assert waiter.wait(0)


def test_an_error_is_raised_in_the_waiter() -> None:
    waiter: Waiter[str] = Waiter()

    def break_it() -> None:
        waiter.fail(LookupError("no"))
        waiter.wake()

    gevent.spawn(break_it)
    with pytest.raises(LookupError, match="no"):
        waiter.wait(10)


@pytest.mark.parametrize("order", ["set first", "time first"])
def test_a_value_and_the_deadline_in_one_turn_wake_once(order: str) -> None:
    woken = []
    waiter: Waiter[str] = Waiter()

    def wait() -> None:
        waiter.wait(10)
        woken.append("once")
        gevent.sleep(0.01)  # a second wake would end this early
        woken.append("slept")

    greenlet = gevent.spawn(wait)
    gevent.idle()
    loop = gevent.get_hub().loop
    if order == "set first":
        loop.run_callback(waiter.set, "x")
        loop.run_callback(waiter.wake)
        loop.run_callback(waiter.wake)
    else:
        loop.run_callback(waiter.wake)
        loop.run_callback(waiter.set, "x")
        loop.run_callback(waiter.wake)
    greenlet.join(timeout=10)
    assert woken == ["once", "slept"]


def test_a_killed_greenlet_is_not_woken() -> None:
    waiter: Waiter[str] = Waiter()
    greenlet = gevent.spawn(waiter.wait)
    gevent.idle()
    greenlet.kill()
    waiter.set("x")
    waiter.wake()
    gevent.idle()
    assert greenlet.dead


def test_the_event_loop_itself_must_not_wait() -> None:
    waiter: Waiter[str] = Waiter()
    raised: Waiter[BaseException] = Waiter()

    def in_the_hub() -> None:
        try:
            waiter.wait(1)
        except ScenarioError as error:
            raised.set(error)
        raised.wake()

    gevent.get_hub().loop.run_callback(in_the_hub)
    assert raised.wait(10)
    assert "must not wait" in str(raised.value)
