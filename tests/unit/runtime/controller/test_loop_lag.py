"""The lateness of the controller's loop is measured, even while beats are rare."""

from __future__ import annotations

import time

import gevent
from gevent import monkey

from amoc.runtime.controller.loop_lag import BEAT_S, REST_S, LoopLag

really_sleep = monkey.get_original("time", "sleep")


def rested() -> LoopLag:
    """Return a `LoopLag` at rest; try repeatedly, as a busy machine may delay that."""
    lag = LoopLag()
    for _ in range(100):
        lag.wait()
        if lag.resting:
            return lag
    raise AssertionError("the loop did not come to rest")


def test_an_idle_loop_is_measured_less_often() -> None:
    lag, begun_s = rested(), time.monotonic()
    lag.wait()
    assert time.monotonic() - begun_s >= REST_S / 4 > BEAT_S


def test_a_long_turn_is_noticed_though_it_ends_before_the_next_beat() -> None:
    lag = rested()
    lag.take_s()

    def block() -> None:
        really_sleep(0.2)

    gevent.spawn(block)
    lag.wait()
    assert lag.take_s() >= 0.2
    assert lag.take_s() == 0.0
