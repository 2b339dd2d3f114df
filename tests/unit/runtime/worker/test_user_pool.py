"""The pool starts users at their times, never before, counts them, and lets all leave."""

from __future__ import annotations

import contextlib
from math import inf

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event

from amoc import metrics, user
from amoc.base import loop_yield
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.ipc.messages.users import CrashSeen, Started, StartUsers, UsersGone
from amoc.metrics import registry
from amoc.metrics.area import Kind
from amoc.metrics.board import Board, Cell, UserState
from amoc.metrics.health_figures import cell
from amoc.runtime.worker import user_pool as crowd_module
from amoc.runtime.worker.user_pool import MAX_NAMED, Orders, UserPool
from amoc.scenario.start_rate import USER_RATE
from amoc.users.placement import Placement, one_node
from amoc.users.removal import Removal

PLACEMENT = Placement(one_node(1))
DEADLINE_S = 60.0


class FakeGate:
    """A throttle that is open, or lets through whom the test says."""

    def __init__(self):
        self.open = True
        self.line = []
        self.holders = {}

    def queue(self, name):
        assert name == USER_RATE
        return self

    def is_open(self, at_ns):
        return self.open

    def enter(self, waiter):
        self.line.append(waiter)

    def leave(self, waiter):
        self.line.remove(waiter)

    def let_through(self, count):
        for _ in range(count):
            self.line.pop(0).give(7)


class Worker:
    """A crowd on a board of its own, and all that it reported."""

    def __init__(self, start, users=200):
        self.board = Board(workers=1, highest_id=users)
        registry.current.attach(self.board.area(0), inherit=False)
        self.reports = []
        self.gate = FakeGate()
        orders = Orders(0, 42, start, "", self.reports.append, self.gate, PLACEMENT)
        self.crowd = UserPool(orders, self.board)
        self.crowd.repeat_num, self.crowd.repeat_interval_s = 1.0, 0.0
        self.starter = gevent.spawn(self.crowd.start_users)

    def deal(self, ids, due_ns=0, offsets_ns=(), again=False):
        ids = list(ids)
        for user_id in ids:  # as the node does
            self.board.users[user_id] = UserState.RESTARTING if again else UserState.STARTING
        self.crowd.deal(StartUsers(0, ids, due_ns or now_ns(), list(offsets_ns), again))

    def states(self):
        return {
            state: count for state, count in self.board.count_users(range(1, 201)).items() if state
        }

    def wait(self, condition):
        with gevent.Timeout(DEADLINE_S):
            while not condition():
                gevent.sleep(0)

    def wait_states(self, **expected):
        wanted = {UserState[name]: count for name, count in expected.items() if count}
        self.wait(lambda: self.states() == wanted)

    def started(self):
        return sum(one.number for one in self.reports if isinstance(one, Started))

    def stop(self, timeout_s=DEADLINE_S):
        return gevent.spawn(self.crowd.stop, timeout_s).get(timeout=2 * DEADLINE_S)

    def __getitem__(self, cell):
        return self.board.row(0)[cell]


@pytest.fixture
def worker():
    made = []

    def make(start, **options):
        made.append(Worker(start, **options))
        return made[-1]

    with registry.Registry().activated():
        yield make
    for one in made:
        one.starter.kill()
        one.crowd.stop(0)


def stay(user_id):
    gevent.sleep(1000)


def test_users_dealt_without_times_start_at_once_and_are_reported_together(worker):
    one = worker(stay)
    one.deal(range(1, 151))
    one.wait_states(RUNNING=150)
    one.wait(lambda: one.started() == 150)
    assert len(one.reports) < 10
    assert (one[cell("users")], one[Cell.USERS_PEAK], one[cell("waiting")]) == (150, 150, 0)
    assert len(one.crowd) == 150


def test_blocks_start_in_the_order_they_were_dealt(worker, monkeypatch):
    # Where a start takes so long that the loop has to turn, the next block's users come in between.
    monkeypatch.setattr(loop_yield, "HOLD_NS", int(DEADLINE_S) * S_NS)
    order = []
    one = worker(order.append)
    one.deal([5, 3], offsets_ns=[0, 10])
    one.deal([4])
    one.deal([2, 1], again=True)
    one.wait(lambda: one.started() == 5)
    assert order == [5, 3, 4, 2, 1]


def test_users_that_begin_slowly_are_not_made_faster_than_they_begin(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)
    monkeypatch.setattr(crowd_module, "STARTS_PER_TURN", 10)
    there: list[int] = []
    one = worker(lambda _: there.append(len(one.crowd)))
    one.deal(range(1, 201))
    one.wait(lambda: len(there) == 200)
    assert max(there) == 10


def test_users_wait_for_their_times(worker):
    one = worker(stay)
    one.deal([1, 2], due_ns=now_ns() + 3600 * 10**9, offsets_ns=[0, 1])
    for _ in range(5):
        gevent.sleep(0)
    assert one.states() == {UserState.STARTING: 2}
    assert one[cell("waiting")] == 2


@pytest.mark.slow
def test_no_user_starts_before_its_time_even_when_another_blocks_the_loop(worker):
    starts = {}

    def start(user_id):
        starts[user_id] = now_ns()
        if user_id > 100:
            gevent.sleep(0.002 * (user_id - 100))
            # What a blocking call does: the loop's own idea of the time falls behind.
            until_ns = now_ns() + 8 * MS_NS
            while now_ns() < until_ns:
                pass

    one = worker(start)
    one.deal(range(101, 121))
    due_ns = now_ns() + 5 * MS_NS
    offsets_ns = [number * 3 * MS_NS for number in range(60)]
    one.deal(range(1, 61), due_ns=due_ns, offsets_ns=offsets_ns)
    one.wait(lambda: len(starts) == 80)
    early = {
        user_id: due_ns + offset_ns - starts[user_id]
        for user_id, offset_ns in zip(range(1, 61), offsets_ns, strict=True)
        if starts[user_id] < due_ns + offset_ns
    }
    assert early == {}


def test_how_late_users_start_is_recorded(worker):
    one = worker(stay)
    one.deal([1, 2, 3], due_ns=now_ns() - 10 * 10**9, offsets_ns=[0, 1, 2])
    one.wait(lambda: one.reports)
    lateness = {metric.name: metric.value for metric in metrics.read()}["user_start_lateness"]
    assert lateness.count == 3
    assert lateness.max_ns >= 10 * 10**9


def test_users_that_lost_their_worker_count_as_restarted(worker):
    one = worker(stay)
    one.deal([1, 2])
    one.deal([3, 4, 5], again=True)
    one.wait(lambda: one.started() == 5)
    assert one[Cell.RESTARTED] == 3


@pytest.mark.parametrize("blocks", [[[1, 2], [1, 2]], [[1, 2, 1, 2]]], ids=["apart", "together"])
def test_a_user_that_is_dealt_twice_runs_once(worker, blocks):
    # A block that was on its way when its worker was replaced may come beside the board's own list.
    runs = []

    def start(user_id):
        runs.append(user_id)
        gevent.sleep(1000)

    one = worker(start)
    for ids in blocks:
        one.deal(ids, again=True)
    one.wait(lambda: one.started() == sum(map(len, blocks)))
    one.wait_states(RUNNING=2)
    gevent.sleep(0)
    assert sorted(runs) == [1, 2]
    assert (one[cell("users")], one[Cell.RESTARTED], one[cell("waiting")]) == (2, 2, 0)


def test_the_peak_stays_when_users_have_left(worker):
    one = worker(lambda user_id: None)
    one.deal(range(1, 6))
    one.wait_states(FINISHED=5)
    one.deal([6])
    one.wait_states(FINISHED=6)
    assert (one[cell("users")], one[Cell.USERS_PEAK], len(one.crowd)) == (0, 5, 0)


def test_crashes_are_counted_each_and_reported_once_for_each_cause(worker):
    def start(user_id):
        if user_id % 2:
            raise ValueError(f"user {user_id}")
        raise KeyError

    one = worker(start)
    one.deal(range(1, 21))
    one.wait_states(CRASHED=20)
    seen = [report for report in one.reports if isinstance(report, CrashSeen)]
    assert sorted(report.cause.split(" ")[0] for report in seen) == ["KeyError", "ValueError:"]
    assert all("Traceback" in report.traceback for report in seen)
    counts = [metric.value for metric in metrics.read() if metric.kind is Kind.CRASH]
    assert sorted(counts) == [10, 10]


# Stopping


def test_an_empty_crowd_stops_at_once(worker):
    assert worker(stay).stop(0.0) == UsersGone(0, 0, [])


def test_users_in_their_pause_leave_and_those_inside_start_finish(worker):
    gate = Event()

    def start(user_id):
        if user_id > 5:
            gate.wait()

    one = worker(start)
    one.crowd.repeat_num, one.crowd.repeat_interval_s = inf, inf
    one.deal(range(1, 11))
    one.wait_states(BETWEEN=5, RUNNING=5)
    stopping = gevent.spawn(one.crowd.stop, DEADLINE_S)
    one.wait_states(FINISHED=5, RUNNING=5)
    gate.set()
    assert stopping.get(timeout=DEADLINE_S) == UsersGone(0, 0, [])
    assert one.states() == {UserState.FINISHED: 10}


def test_users_that_do_not_finish_in_time_are_killed_and_counted_as_timed_out(worker):
    one = worker(stay)
    one.deal(range(1, 11))
    one.wait_states(RUNNING=10)
    assert one.stop(0.0) == UsersGone(0, 10, [])
    assert one.states() == {UserState.TIMED_OUT: 10}
    assert one[cell("users")] == 0


def test_users_that_will_not_die_are_named_up_to_a_number(worker, monkeypatch):
    monkeypatch.setattr(crowd_module, "FINALLY_S", 0.01)

    def start(user_id):
        while user_id > 20 and not gate.is_set():
            with contextlib.suppress(GreenletExit):
                gate.wait()
        gevent.sleep(1000)

    gate = Event()
    one = worker(start)
    one.deal(range(1, 171))
    one.wait_states(RUNNING=170)
    gone = one.stop(0.0)
    assert gone == UsersGone(0, 20, list(range(21, 21 + MAX_NAMED)))
    gate.set()


def test_users_that_had_not_started_when_it_stops_never_do(worker):
    one = worker(stay)
    far_ns = now_ns() + 3600 * 10**9
    one.deal([1, 2, 3], due_ns=far_ns, offsets_ns=[0, 1, 2])
    one.deal([4, 5])
    gevent.sleep(0)
    assert one.stop() == UsersGone(0, 0, [])
    one.deal([6, 7])
    gevent.sleep(0)
    assert one.board.users[4] == one.board.users[6] == UserState.NONE
    assert len(one.crowd) == 0


FAR_NS = 3600 * 10**9


def with_a_queue(worker, ids, again):
    """A crowd that waits for the time of its first block, with another one behind that."""
    one = worker(stay)
    one.deal([100], due_ns=now_ns() + FAR_NS, offsets_ns=[0])
    gevent.sleep(0)
    one.deal(ids, again=again)
    gevent.sleep(0)
    return one


def test_users_that_are_turned_away_wait_no_longer(worker):
    one = with_a_queue(worker, [1, 2], again=False)
    assert one[cell("waiting")] == 3
    one.stop(0.0)
    assert one[cell("waiting")] <= 1  # the one whose time is awaited finds out when that comes


def test_users_that_would_have_started_again_are_lost_when_it_stops(worker):
    # They have been counted as started; so they must be counted as gone, too.
    one = with_a_queue(worker, [1, 2], again=True)
    one.stop(0.0)
    assert [UserState(one.board.users[user_id]) for user_id in (1, 2)] == [UserState.LOST] * 2


# The start rate


def test_users_start_one_by_one_as_the_throttle_lets_them_through(worker):
    order = []
    one = worker(order.append)
    one.gate.open = False
    one.deal([3, 1, 2])
    one.wait(lambda: len(one.gate.line) == 3)
    assert one.states() == {UserState.STARTING: 3}
    one.gate.let_through(2)
    one.wait_states(FINISHED=2, STARTING=1)
    assert order == [3, 1]
    assert one[cell("waiting")] == 1
    one.wait(lambda: one.started() == 2)


def test_nobody_overtakes_those_that_wait_when_the_start_rate_becomes_unlimited(worker):
    order = []
    one = worker(order.append)
    one.gate.open = False
    one.deal([1, 2])
    one.wait(lambda: len(one.gate.line) == 2)
    one.gate.open = True
    one.deal([3])
    one.wait(lambda: len(one.gate.line) == 3)
    one.gate.let_through(3)
    one.wait_states(FINISHED=3)
    assert order == [1, 2, 3]


# Removing


def removed(one, count, force=False):
    return gevent.spawn(one.crowd.remove, count, force).get(timeout=DEADLINE_S)


def test_those_with_the_highest_numbers_are_removed_started_or_not(worker):
    one = worker(stay)
    one.deal([1, 2, 3])
    one.wait_states(RUNNING=3)
    one.gate.open = False
    one.deal([4, 5])
    one.wait(lambda: len(one.gate.line) == 2)
    assert removed(one, 3) == Removal(withdrawn=2, asked=1)
    assert one.crowd.find(3).stop_reason
    assert not one.crowd.find(2).stop_reason
    assert one.gate.line == [], "who will not start stands in nobody's way"
    one.wait(lambda: one.started() == 5)
    assert one.states() == {UserState.RUNNING: 2, UserState.STOPPING: 1}
    assert one[cell("waiting")] == 0


def test_a_user_that_is_asked_to_leave_is_not_asked_again(worker):
    one = worker(stay)
    one.deal([1, 2, 3])
    one.wait_states(RUNNING=3)
    assert removed(one, 1).asked == 1
    assert removed(one, 1).asked == 1
    assert [bool(one.crowd.find(n).stop_reason) for n in (1, 2, 3)] == [False, True, True]
    assert one.crowd.removable == 1


def test_a_removed_user_finishes_its_iteration_and_counts_as_removed(worker):
    gate = Event()
    one = worker(lambda user_id: gate.wait())
    one.crowd.repeat_num, one.crowd.repeat_interval_s = inf, inf
    one.deal([1, 2])
    one.wait_states(RUNNING=2)
    removed(one, 1)
    gate.set()
    one.wait_states(BETWEEN=1, REMOVED=1)


def test_removed_by_force_they_are_gone_at_once_with_their_finally_blocks_run(worker):
    ended = []

    def start(user_id):
        try:
            gevent.sleep(1000)
        finally:
            ended.append(user_id)

    one = worker(start)
    one.deal(range(1, 6))
    one.wait_states(RUNNING=5)
    assert removed(one, 2, force=True) == Removal(killed=2)
    assert sorted(ended) == [4, 5]
    assert one.states() == {UserState.RUNNING: 3, UserState.REMOVED: 2}


def test_who_does_not_leave_by_force_is_named(worker, monkeypatch):
    monkeypatch.setattr(crowd_module, "FINALLY_S", 0.01)
    gate = Event()

    def start(user_id):
        while not gate.is_set():
            with contextlib.suppress(GreenletExit):
                gate.wait()

    one = worker(start)
    one.deal([1, 2])
    one.wait_states(RUNNING=2)
    assert removed(one, 1, force=True) == Removal(killed=1, stuck=(2,))
    gate.set()
    one.wait_states(FINISHED=1, REMOVED=1)


def test_more_than_there_are_can_be_asked_to_leave(worker):
    one = worker(stay)
    one.deal([1])
    one.wait_states(RUNNING=1)
    assert removed(one, 10) == Removal(asked=1)
    assert removed(one, 10) == Removal()


def test_users_may_be_removed_before_they_are_dealt(worker):
    one = worker(stay)
    removing = gevent.spawn(one.crowd.remove_ids, [2, 3], False)
    assert removing.get(timeout=DEADLINE_S) == Removal(withdrawn=2)
    one.deal([1, 2])
    one.deal([3], again=True)
    one.wait_states(RUNNING=1, REMOVED=1)
    one.wait(lambda: one.started() == 3)
    one.deal([2])  # it was unwanted once
    one.wait_states(RUNNING=2, REMOVED=1)


def test_users_are_removed_by_their_ids_wherever_they_are(worker):
    one = worker(stay)
    one.deal(range(1, 7))
    one.wait_states(RUNNING=6)
    one.gate.open = False
    one.deal([8, 9])
    one.deal([10], again=True)
    one.wait(lambda: len(one.gate.line) == 3)
    one.board.users[11] = UserState.STARTING  # on its way here
    removing = gevent.spawn(one.crowd.remove_range, 5, 8, False)
    assert removing.get(timeout=DEADLINE_S) == Removal(asked=2, withdrawn=1)
    again = gevent.spawn(one.crowd.remove_range, 5, 200, False)
    assert again.get(timeout=DEADLINE_S) == Removal(withdrawn=2, not_again=1)
    assert not one.gate.line
    one.deal([11])
    one.wait(lambda: one.started() == 10)
    assert one.states() == {UserState.RUNNING: 4, UserState.REMOVED: 1, UserState.STOPPING: 2}
    killing = gevent.spawn(one.crowd.remove_range, 1, 2, True)
    assert killing.get(timeout=DEADLINE_S) == Removal(killed=2)


def test_a_user_that_has_not_begun_is_removed_once(worker):
    one = worker(stay)
    one.deal([1])
    one.wait(lambda: len(one.crowd) == 1)
    assert one.crowd.remove_range(1, 1, False).total == 1


def test_who_lost_its_worker_and_is_removed_does_not_start_again(worker):
    one = worker(stay)
    one.gate.open = False
    one.deal([1, 2], again=True)
    one.wait(lambda: len(one.gate.line) == 2)
    assert removed(one, 1) == Removal(not_again=1)
    assert one.states() == {UserState.RESTARTING: 1, UserState.REMOVED: 1}


def test_users_that_have_left_by_themselves_are_not_counted_as_removed(worker):
    one = worker(lambda user_id: None)
    one.deal([1])
    one.wait_states(FINISHED=1)
    removing = gevent.spawn(one.crowd.remove_ids, [1], False)
    assert removing.get(timeout=DEADLINE_S) == Removal()


def test_a_start_rate_whose_throttle_is_stopped_starts_nobody(worker):
    one = worker(stay)
    one.gate.open = False
    one.deal([1, 2])
    one.wait(lambda: len(one.gate.line) == 2)
    one.gate.line.pop(0).give(ScenarioError("throttle user_rate was stopped"))
    gevent.sleep(0)
    assert one.states() == {UserState.STARTING: 1}


def test_users_that_are_killed_before_the_loop_comes_to_them_never_begin(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)  # it turns after each user that begins
    begun = []
    one = worker(lambda user_id: begun.append(user_id) or stay(user_id))
    one.deal(range(1, 101))
    one.wait(lambda: 3 <= len(begun) < 50)
    removal = one.crowd.remove(100, force=True)
    seen = len(begun)
    assert (removal.killed + removal.withdrawn, removal.stuck) == (100, ())
    assert len(one.crowd) == one.crowd.queued == 0
    assert seen < 100
    gevent.sleep(0)
    assert len(begun) == seen
    one.wait_states(REMOVED=seen)


def test_users_are_asked_to_stop_at_once_and_end_while_the_loop_turns(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)
    asked = []
    one = worker(lambda user_id: user.wait_stopping() and asked.append(len(one.crowd)))
    one.deal(range(1, 101))
    one.wait_states(RUNNING=100)
    gone = gevent.spawn(one.crowd.stop, DEADLINE_S)
    one.wait(lambda: asked)
    assert not one.crowd.removable  # all have been asked, though most have not ended
    assert gone.get(timeout=2 * DEADLINE_S) == UsersGone(0, 0, [])
    assert asked == list(range(100, 0, -1))
    one.wait_states(FINISHED=100)
