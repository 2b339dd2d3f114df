"""Timers: nobody is called before the time, whatever was done before in the same turn."""

from __future__ import annotations

import time

from gevent import get_hub

from amoc.base.timers import call_later
from amoc.base.waiting import Waiter


def rings(seconds: float) -> float:
    """How long a timer takes that is started late in a turn of the loop; in seconds."""
    waiter: Waiter[float] = Waiter()
    timers = []

    def begin() -> None:
        time.sleep(0.1)  # the loop's own time stands still meanwhile
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


def test_who_has_worked_for_long_in_a_turn_is_not_called_early() -> None:
    assert rings(0.05) >= 0.05


def test_what_is_due_already_comes_at_the_next_turn() -> None:
    assert rings(-1) < 1
