"""Timers: no call is early, whatever ran before in the same turn of the loop."""

from __future__ import annotations

import time
from math import nan

import pytest
from gevent import get_hub

from amoc.base.errors import ScenarioError
from amoc.base.timers import call_later
from amoc.base.waiting import Alarm, Waiter, wait


def rings(seconds: float) -> float:
    """Return the delay, in seconds, of a timer started late in a turn of the loop."""
    waiter: Waiter[float] = Waiter()
    timers = []

    def begin() -> None:
        time.sleep(0.1)  # the loop's cached time does not advance
        begun = time.monotonic()
        timers.append(
            call_later(get_hub().loop, seconds, lambda: waiter.give(time.monotonic() - begun))
        )

    timers.append(call_later(get_hub().loop, 0, begin))
    waiter.wait()
    for one in timers:
        one.close()
    assert waiter.value is not None
    return waiter.value


def test_a_timer_is_not_early_after_long_work_in_a_loop_turn() -> None:
    assert rings(0.05) >= 0.05


def test_an_overdue_timer_fires_at_the_next_turn() -> None:
    assert rings(-1) < 1


def test_a_time_that_is_no_number_is_refused_and_the_next_wait_is_not_affected() -> None:
    alarm = Alarm()
    for waits in (lambda waiter, seconds: waiter.wait(seconds), wait):
        for alarm_of in (None, alarm):
            waiter: Waiter[None] = Waiter()
            waiter.alarm = alarm_of
            with pytest.raises(ScenarioError, match="a time must be a number of seconds, got nan"):
                waits(waiter, nan)
            assert not waits(waiter, 0.001)
