"""Callers that wait for a change are answered when the last worker applies it."""

from __future__ import annotations

from amoc.ipc.messages.throttle import Want
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.in_force import InForce
from amoc.throttle.profiles import Constant
from amoc.throttle.throttle import Throttle

MANY = 3_000


class Counted(Throttle[WorkerId]):
    """A throttle that counts how many workers were looked at."""

    looked_at = 0

    def in_force(self, epoch, askers):
        askers = list(askers)
        self.looked_at += len(askers)
        return super().in_force(epoch, askers)


def made(count: int) -> tuple[Counted, dict[WorkerId, None], InForce]:
    workers = {WorkerId("node0", number, 1): None for number in range(count)}
    return Counted("t", Constant(10), 1.0, 1, 0), workers, InForce(workers.keys())


def say(throttle: Counted, worker: WorkerId) -> None:
    want = Want("t", throttle.epoch, 0, 0, 0, 0, 0, 0, throttle.epoch)
    throttle.want(worker, want, 0)


def test_the_caller_is_answered_when_the_last_worker_confirms() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        throttle, workers, in_force = made(3)
        later = in_force.wait_for(throttle)
        assert later is not None
        for number in order:
            assert not later.is_done
            say(throttle, list(workers)[number])
            in_force.check(throttle)
        assert later.is_done


def test_lost_workers_are_not_waited_for_but_new_ones_are() -> None:
    throttle, workers, in_force = made(2)
    later = in_force.wait_for(throttle)
    first, second = workers
    say(throttle, second)
    new = WorkerId("node0", 2, 1)
    workers[new] = None
    del workers[first]
    in_force.check(throttle)
    assert later is not None
    assert not later.is_done
    say(throttle, new)
    in_force.check(throttle)
    assert later.is_done


def test_the_cost_grows_linearly_with_the_number_of_workers() -> None:
    throttle, workers, in_force = made(MANY)
    later = in_force.wait_for(throttle)
    for worker in workers:
        say(throttle, worker)
        in_force.check(throttle)
    assert later is not None
    assert later.is_done
    assert throttle.looked_at <= 4 * MANY
