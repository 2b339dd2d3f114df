"""The user pool: starting users at their times, counting, removing and stopping them."""

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
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import registry
from amoc.metrics.area import Kind
from amoc.metrics.board import Board, Cell, UserState
from amoc.metrics.health_figures import cell
from amoc.runtime.worker import user_pool
from amoc.runtime.worker.user_pool import MAX_NAMED, UserPool
from amoc.runtime.worker_spec import WorkerSpec
from amoc.scenario.start_rate import USER_RATE
from amoc.users.placement import Placement, one_node
from amoc.users.removal import Removal

PLACEMENT = Placement(one_node(1))
DEADLINE_S = 60.0


class FakeGate:
    """A throttle that is open or admits users on request."""

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

    def admit(self, count):
        for _ in range(count):
            self.line.pop(0).give(7)


class Worker:
    """A user pool with its own board, and its reports."""

    def __init__(self, start, users=200):
        self.board = Board(workers=1, highest_id=users)
        registry.current.attach(self.board.area(0), inherit=False)
        self.reports = []
        self.gate = FakeGate()
        spec = WorkerSpec(WorkerId("node0", 0, 1), PLACEMENT, self.board, "", start, "", 42, "")
        self.pool = UserPool(spec, self.reports.append, self.gate)
        self.pool.repeat_num, self.pool.repeat_interval_s = 1.0, 0.0
        self.starter = gevent.spawn(self.pool.start_users)

    def deal(self, ids, due_ns=0, offsets_ns=(), again=False):
        ids = list(ids)
        for user_id in ids:  # as the node does
            self.board.users[user_id] = UserState.RESTARTING if again else UserState.STARTING
        self.pool.deal(StartUsers(0, ids, due_ns or now_ns(), list(offsets_ns), again))

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
        return gevent.spawn(self.pool.stop, timeout_s).get(timeout=2 * DEADLINE_S)

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
        one.pool.stop(0)


def stay(user_id):
    gevent.sleep(1000)


def test_users_without_start_times_start_at_once_and_are_reported_in_batches(worker):
    one = worker(stay)
    one.deal(range(1, 151))
    one.wait_states(RUNNING=150)
    one.wait(lambda: one.started() == 150)
    assert len(one.reports) < 10
    assert (one[cell("users")], one[Cell.USERS_PEAK], one[cell("waiting")]) == (150, 150, 0)
    assert len(one.pool) == 150


def test_blocks_start_in_the_order_they_were_dealt(worker, monkeypatch):
    # If starts were slow, the loop would turn and users of the next block come in between.
    monkeypatch.setattr(loop_yield, "HOLD_NS", int(DEADLINE_S) * S_NS)
    order = []
    one = worker(order.append)
    one.deal([5, 3], offsets_ns=[0, 10])
    one.deal([4])
    one.deal([2, 1], again=True)
    one.wait(lambda: one.started() == 5)
    assert order == [5, 3, 4, 2, 1]


def test_users_are_not_created_faster_than_they_begin(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)
    monkeypatch.setattr(user_pool, "STARTS_PER_TURN", 10)
    there: list[int] = []
    one = worker(lambda _: there.append(len(one.pool)))
    one.deal(range(1, 201))
    one.wait(lambda: len(there) == 200)
    assert max(there) == 10


def test_users_wait_for_their_start_times(worker):
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
            # As in a blocking call, the loop's cached time falls behind.
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


def test_the_lateness_of_user_starts_is_recorded(worker):
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
def test_a_user_dealt_twice_runs_once(worker, blocks):
    # A block sent before its worker was replaced may arrive besides the list on the board.
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


def test_the_peak_remains_after_users_have_left(worker):
    one = worker(lambda user_id: None)
    one.deal(range(1, 6))
    one.wait_states(FINISHED=5)
    one.deal([6])
    one.wait_states(FINISHED=6)
    assert (one[cell("users")], one[Cell.USERS_PEAK], len(one.pool)) == (0, 5, 0)


def test_each_crash_is_counted_and_each_cause_reported_once(worker):
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


def test_an_empty_pool_stops_at_once(worker):
    assert worker(stay).stop(0.0) == UsersGone(0, 0, [])


def test_stop_ends_pausing_users_and_lets_running_ones_finish(worker):
    gate = Event()

    def start(user_id):
        if user_id > 5:
            gate.wait()

    one = worker(start)
    one.pool.repeat_num, one.pool.repeat_interval_s = inf, inf
    one.deal(range(1, 11))
    one.wait_states(BETWEEN=5, RUNNING=5)
    stopping = gevent.spawn(one.pool.stop, DEADLINE_S)
    one.wait_states(FINISHED=5, RUNNING=5)
    gate.set()
    assert stopping.get(timeout=DEADLINE_S) == UsersGone(0, 0, [])
    assert one.states() == {UserState.FINISHED: 10}


def test_users_that_do_not_finish_in_time_are_killed_and_count_as_timed_out(worker):
    one = worker(stay)
    one.deal(range(1, 11))
    one.wait_states(RUNNING=10)
    assert one.stop(0.0) == UsersGone(0, 10, [])
    assert one.states() == {UserState.TIMED_OUT: 10}
    assert one[cell("users")] == 0


def test_a_limited_number_of_users_that_survive_kill_are_named(worker, monkeypatch):
    monkeypatch.setattr(user_pool, "FINALLY_S", 0.01)

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


def test_users_not_started_when_the_pool_stops_never_start(worker):
    one = worker(stay)
    far_ns = now_ns() + 3600 * 10**9
    one.deal([1, 2, 3], due_ns=far_ns, offsets_ns=[0, 1, 2])
    one.deal([4, 5])
    gevent.sleep(0)
    assert one.stop() == UsersGone(0, 0, [])
    one.deal([6, 7])
    gevent.sleep(0)
    assert one.board.users[4] == one.board.users[6] == UserState.NONE
    assert len(one.pool) == 0


FAR_NS = 3600 * 10**9


def with_queued(worker, ids, again):
    """A pool that waits for the time of its first block, with another block behind it."""
    one = worker(stay)
    one.deal([100], due_ns=now_ns() + FAR_NS, offsets_ns=[0])
    gevent.sleep(0)
    one.deal(ids, again=again)
    gevent.sleep(0)
    return one


def test_withdrawn_users_do_not_count_as_waiting(worker):
    one = with_queued(worker, [1, 2], again=False)
    assert one[cell("waiting")] == 3
    one.stop(0.0)
    assert one[cell("waiting")] <= 1  # the user whose time is awaited leaves only at that time


def test_users_waiting_to_restart_are_lost_when_the_pool_stops(worker):
    # They were counted as started, so they must be counted as gone, too.
    one = with_queued(worker, [1, 2], again=True)
    one.stop(0.0)
    assert [UserState(one.board.users[user_id]) for user_id in (1, 2)] == [UserState.LOST] * 2


# The start rate


def test_users_start_one_by_one_as_the_throttle_admits_them(worker):
    order = []
    one = worker(order.append)
    one.gate.open = False
    one.deal([3, 1, 2])
    one.wait(lambda: len(one.gate.line) == 3)
    assert one.states() == {UserState.STARTING: 3}
    one.gate.admit(2)
    one.wait_states(FINISHED=2, STARTING=1)
    assert order == [3, 1]
    assert one[cell("waiting")] == 1
    one.wait(lambda: one.started() == 2)


def test_an_unlimited_start_rate_does_not_let_users_overtake_waiting_ones(worker):
    order = []
    one = worker(order.append)
    one.gate.open = False
    one.deal([1, 2])
    one.wait(lambda: len(one.gate.line) == 2)
    one.gate.open = True
    one.deal([3])
    one.wait(lambda: len(one.gate.line) == 3)
    one.gate.admit(3)
    one.wait_states(FINISHED=3)
    assert order == [1, 2, 3]


# Removing


def removed(one, count, force=False):
    return gevent.spawn(one.pool.remove, count, force).get(timeout=DEADLINE_S)


def test_users_with_the_highest_ids_are_removed_whether_started_or_not(worker):
    one = worker(stay)
    one.deal([1, 2, 3])
    one.wait_states(RUNNING=3)
    one.gate.open = False
    one.deal([4, 5])
    one.wait(lambda: len(one.gate.line) == 2)
    assert removed(one, 3) == Removal(withdrawn=2, asked=1)
    assert one.pool.find(3).stop_reason
    assert not one.pool.find(2).stop_reason
    assert one.gate.line == [], "who will not start stands in nobody's way"
    one.wait(lambda: one.started() == 5)
    assert one.states() == {UserState.RUNNING: 2, UserState.STOPPING: 1}
    assert one[cell("waiting")] == 0


def test_a_user_already_asked_to_stop_is_not_asked_again(worker):
    one = worker(stay)
    one.deal([1, 2, 3])
    one.wait_states(RUNNING=3)
    assert removed(one, 1).asked == 1
    assert removed(one, 1).asked == 1
    assert [bool(one.pool.find(n).stop_reason) for n in (1, 2, 3)] == [False, True, True]
    assert one.pool.removable == 1


def test_a_removed_user_finishes_its_iteration_and_counts_as_removed(worker):
    gate = Event()
    one = worker(lambda user_id: gate.wait())
    one.pool.repeat_num, one.pool.repeat_interval_s = inf, inf
    one.deal([1, 2])
    one.wait_states(RUNNING=2)
    removed(one, 1)
    gate.set()
    one.wait_states(BETWEEN=1, REMOVED=1)


def test_users_removed_by_force_end_at_once_and_run_finally_blocks(worker):
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


def test_users_that_survive_forced_removal_are_named(worker, monkeypatch):
    monkeypatch.setattr(user_pool, "FINALLY_S", 0.01)
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


def test_removing_more_users_than_exist_removes_all(worker):
    one = worker(stay)
    one.deal([1])
    one.wait_states(RUNNING=1)
    assert removed(one, 10) == Removal(asked=1)
    assert removed(one, 10) == Removal()


def test_users_may_be_removed_before_they_are_dealt(worker):
    one = worker(stay)
    removing = gevent.spawn(one.pool.remove_ids, [2, 3], False)
    assert removing.get(timeout=DEADLINE_S) == Removal(withdrawn=2)
    one.deal([1, 2])
    one.deal([3], again=True)
    one.wait_states(RUNNING=1, REMOVED=1)
    one.wait(lambda: one.started() == 3)
    one.deal([2])  # withdrawn only once
    one.wait_states(RUNNING=2, REMOVED=1)


def test_users_are_removed_by_id_in_any_state(worker):
    one = worker(stay)
    one.deal(range(1, 7))
    one.wait_states(RUNNING=6)
    one.gate.open = False
    one.deal([8, 9])
    one.deal([10], again=True)
    one.wait(lambda: len(one.gate.line) == 3)
    one.board.users[11] = UserState.STARTING  # in transit
    removing = gevent.spawn(one.pool.remove_range, 5, 8, False)
    assert removing.get(timeout=DEADLINE_S) == Removal(asked=2, withdrawn=1)
    again = gevent.spawn(one.pool.remove_range, 5, 200, False)
    assert again.get(timeout=DEADLINE_S) == Removal(withdrawn=2, not_again=1)
    assert not one.gate.line
    one.deal([11])
    one.wait(lambda: one.started() == 10)
    assert one.states() == {UserState.RUNNING: 4, UserState.REMOVED: 1, UserState.STOPPING: 2}
    killing = gevent.spawn(one.pool.remove_range, 1, 2, True)
    assert killing.get(timeout=DEADLINE_S) == Removal(killed=2)


def test_a_user_that_has_not_begun_counts_once_when_removed(worker):
    one = worker(stay)
    one.deal([1])
    one.wait(lambda: len(one.pool) == 1)
    assert one.pool.remove_range(1, 1, False).total == 1


def test_a_removed_user_of_a_lost_worker_does_not_restart(worker):
    one = worker(stay)
    one.gate.open = False
    one.deal([1, 2], again=True)
    one.wait(lambda: len(one.gate.line) == 2)
    assert removed(one, 1) == Removal(not_again=1)
    assert one.states() == {UserState.RESTARTING: 1, UserState.REMOVED: 1}


def test_finished_users_do_not_count_as_removed(worker):
    one = worker(lambda user_id: None)
    one.deal([1])
    one.wait_states(FINISHED=1)
    removing = gevent.spawn(one.pool.remove_ids, [1], False)
    assert removing.get(timeout=DEADLINE_S) == Removal()


def test_no_user_starts_once_the_start_rate_throttle_is_stopped(worker):
    one = worker(stay)
    one.gate.open = False
    one.deal([1, 2])
    one.wait(lambda: len(one.gate.line) == 2)
    one.gate.line.pop(0).give(ScenarioError("throttle user_rate was stopped"))
    gevent.sleep(0)
    assert one.states() == {UserState.STARTING: 1}


def test_users_killed_before_their_first_loop_turn_never_begin(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)  # the loop turns after each user that begins
    begun = []
    one = worker(lambda user_id: begun.append(user_id) or stay(user_id))
    one.deal(range(1, 101))
    one.wait(lambda: 3 <= len(begun) < 50)
    removal = one.pool.remove(100, force=True)
    seen = len(begun)
    assert (removal.killed + removal.withdrawn, removal.stuck) == (100, ())
    assert len(one.pool) == one.pool.queued == 0
    assert seen < 100
    gevent.sleep(0)
    assert len(begun) == seen
    one.wait_states(REMOVED=seen)


def test_all_users_are_asked_to_stop_at_once_and_end_over_several_loop_turns(worker, monkeypatch):
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)
    asked = []
    one = worker(lambda user_id: user.wait_stopping() and asked.append(len(one.pool)))
    one.deal(range(1, 101))
    one.wait_states(RUNNING=100)
    gone = gevent.spawn(one.pool.stop, DEADLINE_S)
    one.wait(lambda: asked)
    assert not one.pool.removable  # all have been asked, though most have not ended
    assert gone.get(timeout=2 * DEADLINE_S) == UsersGone(0, 0, [])
    assert asked == list(range(100, 0, -1))
    one.wait_states(FINISHED=100)
