"""One throttle in one worker: available slots and permits, and waiting users."""

from __future__ import annotations

import pytest

from amoc import metrics
from amoc.base.clock import MS_NS, S_NS
from amoc.base.errors import ScenarioError
from amoc.ipc.messages.throttle import Permits, ThrottleMode, Tokens
from amoc.metrics import registry
from amoc.metrics.area import Area
from amoc.throttle import worker_queue
from amoc.throttle.demand import FORESEEN_IF_LATE, MAX_FAR_FORESEEN
from amoc.throttle.permit_stock import IDLE_PERMIT_NS, KEEP_PERMIT_NS
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_allocator import VOID_NS
from amoc.throttle.token_waiter import OnToken
from amoc.throttle.worker_queue import WorkerQueue
from tests.unit.throttle.support import counted

BEGIN_NS = 10**15


class Clock:
    """A clock that only the test advances."""

    ns = BEGIN_NS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    registry.current.attach(Area.private(), inherit=False)
    clock = Clock()
    monkeypatch.setattr(worker_queue, "now_ns", clock)
    return clock


class Queue:
    """A queue, and what its waiters received."""

    def __init__(self, *, permits: bool = False) -> None:
        self.name = "a"
        self.given: list[object] = []
        self.used: list[tuple[int, int]] = []
        """Epoch and slot number."""
        timer = metrics.timer("lateness")
        record = lambda _name, epoch, slot, *_times: self.used.append((epoch, slot))  # noqa: E731
        self.queue = WorkerQueue(self.name, timer, record)
        self.permits = permits
        self.change("run")

    def change(self, mode: str, from_ns: int = 0) -> None:
        epoch = self.queue.epoch + 1
        self.queue.receive_mode(ThrottleMode(self.name, epoch, from_ns, mode, self.permits))
        self.work()

    def enter(self, times: int) -> list[OnToken]:
        waiters = [OnToken(self.given.append) for _ in range(times)]
        for waiter in waiters:
            assert self.queue.enter(waiter) is None
        return waiters

    def slots(self, size: int, due_ns: int, spacing_ns: int, epoch: int = 1) -> None:
        number = self.queue.want(BEGIN_NS).seen + 1
        self.queue.receive_tokens(Tokens(self.name, number, epoch, 0, 1, size, due_ns, spacing_ns))

    def grant(self, size: int) -> None:
        number = self.queue.want(BEGIN_NS).seen + 1
        self.queue.receive_permits(Permits(self.name, number, self.queue.epoch, size))

    def work(self) -> None:
        self.queue.work(worker_queue.now_ns(), NEVER_NS)


def test_permits_without_a_waiter_are_returned():
    one = Queue(permits=True)
    waiters = one.enter(3)
    assert one.queue.want(BEGIN_NS).outstanding == 3
    for waiter in waiters[:2]:
        one.queue.leave(waiter)
    one.grant(3)
    one.work()
    assert len(one.given) == 1
    assert one.queue.report_due_ns < NEVER_NS
    assert one.queue.want(BEGIN_NS).back == 2


def test_permits_that_arrive_while_paused_are_returned():
    one = Queue(permits=True)
    one.enter(2)
    one.change("held")
    one.grant(2)
    one.work()
    assert one.given == []
    told = one.queue.want(BEGIN_NS)
    assert (told.back, told.outstanding, told.waiting) == (2, 2, 2)


def test_slots_that_arrive_after_a_change_voided_them_are_dropped(clock: Clock):
    one = Queue()
    one.enter(10)
    change_ns = BEGIN_NS + 50 * MS_NS
    one.change("run", change_ns)
    one.slots(10, due_ns=BEGIN_NS + 5 * MS_NS, spacing_ns=10 * MS_NS)
    assert one.queue.outstanding == 5
    clock.ns = BEGIN_NS + VOID_NS
    one.work()
    assert one.used == [(1, slot) for slot in range(5)]
    one.slots(2, due_ns=change_ns, spacing_ns=10 * MS_NS, epoch=2)
    clock.ns = BEGIN_NS + VOID_NS
    one.work()
    assert one.used[5:] == [(2, 0), (2, 1)]


def test_held_slots_voided_by_a_change_are_dropped_and_requested_again(clock: Clock):
    one = Queue()
    one.enter(10)
    one.slots(10, due_ns=BEGIN_NS, spacing_ns=10 * MS_NS)
    assert one.queue.outstanding == 0
    one.change("run", BEGIN_NS + 31 * MS_NS)
    assert one.queue.outstanding == 6
    clock.ns = BEGIN_NS + VOID_NS
    one.work()
    assert one.used == [(1, slot) for slot in range(4)]


def test_overdue_slots_are_missed_and_requested_again(clock: Clock):
    one = Queue()
    one.enter(20)
    one.slots(20, due_ns=BEGIN_NS, spacing_ns=10 * MS_NS)
    clock.ns = BEGIN_NS + VOID_NS + 65 * MS_NS
    one.work()
    assert counted("a", "missed") == 7
    assert one.used == [(1, slot) for slot in range(7, 17)]
    clock.ns = BEGIN_NS + S_NS
    one.work()
    assert counted("a", "missed") == 10
    assert one.queue.outstanding == one.queue.waiting == 10


def test_waiters_of_a_stopped_throttle_get_an_error_despite_future_slots(clock: Clock):
    one = Queue()
    one.enter(5)
    one.slots(5, due_ns=BEGIN_NS, spacing_ns=10 * MS_NS)
    clock.ns = BEGIN_NS + 15 * MS_NS
    one.work()
    assert len(one.given) == 2
    one.change("run", BEGIN_NS + S_NS)  # pending, and superseded by the stop
    one.change("gone")
    clock.ns = BEGIN_NS + VOID_NS
    one.work()
    assert len(one.used) == 2
    assert [str(error) for error in one.given[2:]] == [f"throttle {one.name} was stopped"] * 3
    assert all(isinstance(error, ScenarioError) for error in one.given[2:])
    assert one.queue.waiting == 0


@pytest.mark.parametrize("left", [0, 1, 4])
def test_waiters_that_left_the_queue_are_skipped(clock: Clock, left: int):
    one = Queue()
    one.enter(2)
    leaver: list[object] = []
    leaving = [OnToken(leaver.append) for _ in range(left)]
    for waiter in leaving:
        one.queue.enter(waiter)
    one.enter(2)
    for waiter in leaving:
        one.queue.leave(waiter)
    assert one.queue.waiting == 4
    one.slots(5, due_ns=BEGIN_NS, spacing_ns=MS_NS)
    clock.ns = BEGIN_NS + 10 * MS_NS
    one.work()
    assert [slot for _, slot in one.used] == [0, 1, 2, 3]
    assert leaver == []
    assert one.given == [BEGIN_NS + slot * MS_NS for slot in range(4)]


@pytest.mark.parametrize("mode", ["open", "gone"])
def test_work_is_due_at_once_if_a_turn_ends_before_the_queue_is_empty(clock: Clock, mode: str):
    one = Queue()
    one.enter(3)
    epoch = one.queue.epoch + 1
    one.queue.receive_mode(ThrottleMode(one.name, epoch, 0, mode, permits=False))
    assert one.queue.next_ns() == 0
    one.queue.work(clock.ns, clock.ns)  # no time left
    assert one.given == []
    assert one.queue.next_ns() == 0
    one.work()
    assert len(one.given) == 3
    assert one.queue.next_ns() == NEVER_NS


def test_a_permit_is_kept_briefly_for_returning_users_and_then_returned(clock: Clock):
    one = Queue(permits=True)
    one.enter(1)
    one.grant(1)
    one.work()
    first, one.queue.handed = one.queue.handed, None
    assert first is not None
    clock.ns += MS_NS
    one.queue.give_back(first)  # no user has returned so far
    assert one.queue.want(BEGIN_NS).back == 1
    clock.ns += IDLE_PERMIT_NS - 1
    one.enter(1)
    one.grant(1)
    one.work()
    second, one.queue.handed = one.queue.handed, None
    assert second is not None
    one.queue.give_back(second)  # users that return this soon may do so again
    assert one.queue.want(BEGIN_NS).back == 1
    kept_until_ns = clock.ns + IDLE_PERMIT_NS
    assert one.queue.next_ns() == kept_until_ns
    clock.ns = kept_until_ns - 1
    one.work()
    assert one.queue.want(BEGIN_NS).back == 1
    assert one.queue.enter(OnToken(one.given.append)) == clock.ns, "it is there at once"
    assert one.queue.handed == second
    one.queue.give_back(second)
    clock.ns += IDLE_PERMIT_NS
    one.work()
    assert one.queue.want(BEGIN_NS).back == 2
    assert one.queue.next_ns() == NEVER_NS


@pytest.mark.parametrize(("age_ns", "waiting", "back"), [
    (0, 1, 0), (KEEP_PERMIT_NS - 1, 1, 0), (KEEP_PERMIT_NS, 1, 1), (0, 0, 1),
])  # fmt: skip
def test_a_permit_goes_to_the_next_waiter_unless_it_is_old(
    clock: Clock, age_ns: int, waiting: int, back: int
):
    one = Queue(permits=True)
    one.enter(1 + waiting)
    one.grant(1)
    one.work()
    permit = one.queue.handed
    assert permit is not None
    clock.ns += age_ns
    one.queue.give_back(permit)
    one.work()
    assert one.queue.want(BEGIN_NS).back == back
    assert len(one.given) == (2 if waiting and not back else 1)


def test_a_permit_from_before_a_change_is_returned():
    one = Queue(permits=True)
    one.enter(2)
    one.grant(1)
    one.work()
    permit = one.queue.handed
    assert permit is not None
    one.change("run")
    one.queue.give_back(permit)
    one.work()
    assert (len(one.given), one.queue.want(BEGIN_NS).back) == (1, 1)


def test_unused_widely_spaced_slots_are_given_back(clock: Clock):
    one = Queue()
    one.enter(2)
    one.slots(5, due_ns=BEGIN_NS, spacing_ns=30 * MS_NS)
    clock.ns = BEGIN_NS + 70 * MS_NS
    one.work()
    assert one.used == [(1, 0), (1, 1)]
    assert one.queue.report_due_ns < NEVER_NS
    told = one.queue.want(clock.ns)
    assert (told.given_back_ns, told.outstanding) == (BEGIN_NS + 60 * MS_NS, 0)
    one.enter(1)
    clock.ns = BEGIN_NS + 130 * MS_NS
    one.work()
    assert len(one.used) == 2, "it has none of them any more"
    assert one.queue.want(clock.ns).given_back_ns == 0, "told once"


def test_an_unused_closely_spaced_slot_is_lost_and_the_rest_are_kept(clock: Clock):
    one = Queue()
    one.enter(1)
    one.slots(5, due_ns=BEGIN_NS, spacing_ns=5 * MS_NS)
    clock.ns = BEGIN_NS + 6 * MS_NS
    one.work()
    assert one.queue.want(clock.ns).given_back_ns == 0
    one.enter(1)
    clock.ns = BEGIN_NS + 10 * MS_NS
    one.work()
    assert one.used == [(1, 0), (1, 2)]


def test_slots_asked_back_are_given_back_and_requested_except_those_due_now(clock: Clock):
    one = Queue()
    one.enter(4)
    one.slots(4, due_ns=BEGIN_NS + 10 * MS_NS, spacing_ns=50 * MS_NS)
    assert one.queue.outstanding == 0
    one.queue.receive_ask_back()
    told = one.queue.want(clock.ns)
    assert BEGIN_NS + 10 * MS_NS < told.given_back_ns <= BEGIN_NS + 60 * MS_NS
    assert (told.outstanding, told.waiting, told.since_ns) == (3, 4, BEGIN_NS)
    clock.ns = BEGIN_NS + 90 * MS_NS
    one.work()
    assert one.used == [(1, 0)]


def test_slots_that_arrive_before_a_give_back_is_reported_are_not_used(clock: Clock):
    one = Queue()
    one.enter(4)
    one.queue.receive_ask_back()
    one.queue.receive_tokens(Tokens(one.name, 1, 1, 0, 1, 3, BEGIN_NS + 10 * MS_NS, 50 * MS_NS))
    told = one.queue.want(clock.ns)
    assert told.seen == 1, "so the controller takes these to be given back, too"
    assert BEGIN_NS + 10 * MS_NS < told.given_back_ns <= BEGIN_NS + 60 * MS_NS
    clock.ns = BEGIN_NS + 90 * MS_NS
    one.work()
    assert one.used == [(1, 0)]


def use_slots_in_time(one: Queue, clock: Clock, count: int) -> None:
    """Use `count` slots that arrived in time; each user returns at once."""
    for _ in range(count):
        one.slots(1, due_ns=clock.ns + 100 * MS_NS, spacing_ns=100 * MS_NS)
        clock.ns += 100 * MS_NS
        one.work()
        one.enter(1)


def test_the_longer_users_arrive_in_time_the_more_slots_are_requested_ahead(clock: Clock):
    one = Queue()
    one.enter(1)
    asked = []
    for count in (0, 4, 4, 100):
        use_slots_in_time(one, clock, count)
        asked.append(one.queue.want(clock.ns).outstanding)
    assert asked == [1, 3, 5, 1 + MAX_FAR_FORESEEN]
    one.slots(3, due_ns=clock.ns + 100 * MS_NS, spacing_ns=100 * MS_NS)
    clock.ns += 110 * MS_NS
    one.work()
    clock.ns += 100 * MS_NS
    one.work()  # nobody uses the second one
    told = one.queue.want(clock.ns)
    assert (told.outstanding, told.waiting) == (0, 0)


def test_users_that_arrive_only_when_a_slot_is_due_are_not_foreseen(clock: Clock):
    one = Queue()
    for _ in range(20):
        clock.ns += 300 * MS_NS
        one.enter(1)
        one.slots(1, due_ns=clock.ns, spacing_ns=100 * MS_NS)
        one.work()
    one.enter(1)
    assert one.queue.want(clock.ns).outstanding == 1


def test_late_slots_make_the_worker_request_more_ahead(clock: Clock):
    one = Queue()
    one.enter(1)
    one.slots(1, due_ns=clock.ns - VOID_NS - MS_NS, spacing_ns=100 * MS_NS)
    one.work()
    assert one.used == []
    assert one.queue.want(clock.ns).outstanding == 1 + FORESEEN_IF_LATE


def test_a_worker_with_far_slots_reports_rarely_but_changes_promptly(clock: Clock):
    one = Queue()
    one.enter(20)
    one.queue.want(clock.ns)
    one.queue.receive_tokens(Tokens(one.name, 1, 1, 0, 1, 16, clock.ns, 100 * MS_NS))
    one.work()
    one.enter(1)
    assert one.queue.report_due_ns < NEVER_NS
    assert one.queue.report_due_ns - clock.ns > 500 * MS_NS
    one.change("held", clock.ns)
    assert one.queue.report_due_ns - clock.ns < 10 * MS_NS
