"""The controller's counts per throttle and second, including stopped throttles."""

from __future__ import annotations

from math import inf

import pytest

from amoc.base.clock import S_NS
from amoc.ipc.messages.throttle import THROTTLE_TO_CONTROLLER, Want
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.controller import Pacer

WORKER = WorkerId("node0", 0, 1)


class Paced:
    """A controller's throttles with a simulated clock, and a worker with waiting users."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * S_NS
        self.pacer = Pacer(lambda _worker, _record: None, now=lambda: self.now_ns)
        self.pacer.worker_up(WORKER)

    def users_come(self, name: str, epoch: int = 1) -> None:
        want = Want(
            name=name,
            epoch=epoch,
            seen=0,
            outstanding=1000,
            waiting=1000,
            since_ns=self.now_ns,
            back=0,
            missed=0,
            in_force=epoch,
        )
        self.pacer.handle(WORKER, THROTTLE_TO_CONTROLLER.pack(want))

    def later(self, seconds: float) -> None:
        self.now_ns += int(seconds * S_NS)

    def taken(self, name: str) -> tuple[float | None, int]:
        wanted, missed = self.pacer.take(self.now_ns)[name]
        return wanted, missed


def test_slots_missed_before_a_stop_are_reported_with_the_last_second() -> None:
    it = Paced()
    it.pacer.start("a", ["constant", 200], 1)
    it.users_come("a")
    # Nothing deals for two seconds, so all slots are missed except those of the first 500 ms,
    # dealt when users arrived, and of the last 100 ms.
    it.later(2)
    it.pacer.tick()
    it.pacer.stop("a")
    wanted, missed = it.taken("a")
    assert wanted == pytest.approx(400)
    assert 278 <= missed <= 280
    assert it.pacer.take(it.now_ns) == {}, "told once"


def test_counts_of_a_restarted_throttle_are_summed() -> None:
    it = Paced()
    it.pacer.start("a", ["constant", 10], 1)
    it.later(1)
    it.pacer.stop("a")
    it.pacer.start("a", ["constant", 50], 1)
    it.later(1)
    it.pacer.stop("a")
    it.pacer.start("a", ["constant", 0], 1)
    assert it.taken("a") == (pytest.approx(60), 0)
    it.later(1)
    assert it.taken("a") == (0, 0)


@pytest.mark.parametrize("rates", [(inf, 10), (10, inf)])
def test_the_wanted_count_is_unknown_if_either_had_no_limit(rates) -> None:
    it = Paced()
    for rate in rates:
        it.pacer.start("a", ["constant", rate], 1)
        it.later(1)
        it.pacer.stop("a")
    assert it.taken("a") == (None, 0)


def test_throttles_stopped_before_users_may_start_are_not_reported() -> None:
    it = Paced()
    it.pacer.start("a", ["constant", 10], 1)
    it.later(1)
    it.pacer.stop("a")
    it.pacer.begin()
    assert it.pacer.take(it.now_ns) == {}
