"""Permits of waits whose deadline falls into a pause of the run."""

from __future__ import annotations

import gevent
from gevent import get_hub
from gevent.event import Event

from amoc import throttle
from amoc.base import pause
from tests.unit.throttle.support import Here, eventually


def test_a_permit_given_in_the_turn_of_the_resume_is_not_lost(here: Here):
    throttle.limit_concurrency("p", 2)
    full = Event()
    passed: list[int] = []

    def hold() -> None:
        with throttle.permit("p"):
            full.wait()

    def visit(number: int) -> None:
        with throttle.permit("p", timeout=1.0):
            passed.append(number)
            gevent.sleep(0)

    holders = [here.spawn(hold) for _ in range(2)]
    eventually(lambda: len(here.gate.holders) == 2, "both permits are held")
    visitors = [here.spawn(visit, number) for number in range(6)]
    eventually(lambda: here.gate.queue("p").waiting == 6, "the others wait")
    pause.pause()
    eventually(lambda: len(pause.paused_waits) == 6, "their deadlines come in the pause")
    full.set()
    gevent.joinall(holders)

    def resume_and_ring() -> None:
        pause.resume()
        here.gate.ring()

    get_hub().loop.run_callback(resume_and_ring)
    gevent.joinall(visitors, timeout=8)
    assert not here.gate.holders
    assert here.gate.queue("p").waiting == 0
    again: list[int] = []

    def hold_again(number: int) -> None:
        with throttle.permit("p", timeout=5.0):
            again.append(number)
            eventually(lambda: len(again) == 2, "both permits can be held at the same time")

    gevent.joinall([here.spawn(hold_again, number) for number in range(2)], timeout=10)
    assert len(again) == 2
