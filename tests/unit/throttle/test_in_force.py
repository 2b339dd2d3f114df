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


def test_it_is_answered_by_the_last_of_them_in_whatever_order_they_say_so() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        throttle, workers, in_force = made(3)
        later = in_force.wait_for(throttle)
        assert later is not None
        for number in order:
            assert not later.is_done
            say(throttle, list(workers)[number])
            in_force.check(throttle)
        assert later.is_done


def test_one_that_is_lost_is_not_waited_for_and_one_that_comes_up_is() -> None:
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


def test_what_it_takes_grows_as_the_workers_do_and_not_as_their_square() -> None:
    throttle, workers, in_force = made(MANY)
    later = in_force.wait_for(throttle)
    for worker in workers:
        say(throttle, worker)
        in_force.check(throttle)
    assert later is not None
    assert later.is_done
    assert throttle.looked_at <= 4 * MANY
