"""The controller's counts of throttles, second by second, including stopped ones."""

from __future__ import annotations

from math import inf

import pytest

from amoc.base.clock import S_NS
from amoc.ipc.messages.throttle import THROTTLE_TO_CONTROLLER, Want
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.controller import Pacer

WORKER = WorkerId("node0", 0, 1)


class Paced:
    """A controller's throttles with a clock that a test sets, and a worker whose users wait."""

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


def test_what_a_throttle_missed_before_it_was_stopped_is_told_with_its_last_second() -> None:
    it = Paced()
    it.pacer.start("a", ["constant", 200], 1)
    it.users_come("a")
    # Nobody deals, so two seconds of slots are missed, but for the first 500 ms, which were dealt
    # when users came, and the last 100.
    it.later(2)
    it.pacer.tick()
    it.pacer.stop("a")
    wanted, missed = it.taken("a")
    assert wanted == pytest.approx(400)
    assert 278 <= missed <= 280
    assert it.pacer.take(it.now_ns) == {}, "told once"


def test_of_a_throttle_that_was_stopped_and_started_again_both_are_one_sum() -> None:
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
def test_if_either_had_no_limit_it_is_not_said_how_many_were_to_pass(rates) -> None:
    it = Paced()
    for rate in rates:
        it.pacer.start("a", ["constant", rate], 1)
        it.later(1)
        it.pacer.stop("a")
    assert it.taken("a") == (None, 0)


def test_what_was_stopped_before_users_could_start_is_not_told() -> None:
    it = Paced()
    it.pacer.start("a", ["constant", 10], 1)
    it.later(1)
    it.pacer.stop("a")
    it.pacer.begin()
    assert it.pacer.take(it.now_ns) == {}
