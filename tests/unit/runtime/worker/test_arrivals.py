"""The pool of an arrival rate: idle users first, new ones up to the limit, none beyond it."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import AsyncResult, Event

from amoc import metrics, user
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import StartUsers
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import registry
from amoc.metrics.board import Board, Cell, UserState
from amoc.runtime.worker.arrivals import ArrivalPool
from amoc.runtime.worker_spec import WorkerSpec
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.user_kinds import StartOfKind, UserKinds
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.worker_queue import WorkerQueue
from amoc.users.placement import Placement, by_worker, one_node

DEADLINE_S = 60.0


class FakeGate:
    """A throttle whose slots arrive on request."""

    def __init__(self):
        self.holders = {}
        self.line = []

    def queue(self, name):
        queue = WorkerQueue(name, metrics.timer("unused"), None)
        if name == ARRIVAL_RATE:
            self.one = queue
            queue.enter, queue.leave = self.enter, self.leave
        else:
            queue.mode = Mode.OPEN
        return queue

    def enter(self, waiter):
        self.one.waiting += 1
        self.line.append(waiter)

    def leave(self, waiter):
        self.one.waiting -= 1
        self.line.remove(waiter)

    def slots(self, count):
        """Offer `count` slots to waiters; return how many were used."""
        used = AsyncResult()
        # In the hub, like the real gate.
        gevent.get_hub().loop.run_callback(self._come, count, used)
        return used.get(timeout=DEADLINE_S)

    def _come(self, count, used):
        taken = 0
        while taken < count and self.line:
            self.one.waiting -= 1
            self.line.pop(0).give(7)
            taken += 1
        used.set(taken)


class Pool:
    """An arrival pool whose iterations last until `finish`."""

    def __init__(self, board, max_users, start=None, worker=0, layout=None):
        self.board = board
        self.began = []
        self.going = {}
        registry.current.attach(board.area(worker), inherit=False)
        self.gate = FakeGate()
        self.reports = []
        self.action = lambda user_id: None
        self.placement = Placement(layout or one_node(board.workers))
        spec = WorkerSpec(
            WorkerId("node0", worker, 1),
            self.placement,
            board,
            "",
            start or self.start,
            "",
            42,
            "",
            max_users,
        )
        self.pool = ArrivalPool(spec, self.reports.append, self.gate)
        self.starter = gevent.spawn(self.pool.start_users)

    def start(self, user_id):
        self.began.append(user_id)
        self.going[user_id] = Event()
        self.going[user_id].wait()
        self.action(user_id)

    def finish(self, *user_ids):
        for user_id in user_ids:
            self.going[user_id].set()
            self.wait(lambda user_id=user_id: self.board.users[user_id] != UserState.RUNNING)

    def wait(self, condition):
        with gevent.Timeout(DEADLINE_S):
            while not condition():
                gevent.sleep(0)


@pytest.fixture
def made():
    pools = []

    def make(max_users=3, board=None, **options):
        pools.append(Pool(board or Board(workers=1, highest_id=20), max_users, **options))
        return pools[-1]

    with registry.Registry().activated():
        yield make
        for one in pools:
            one.starter.kill()
            one.pool.stop(0)


def test_a_slot_goes_to_the_longest_idle_user_and_then_to_a_new_one(made):
    one = made()
    assert one.gate.slots(1) == 1
    assert one.began == [1]
    assert one.gate.slots(1) == 1
    one.finish(2, 1)
    assert one.gate.slots(3) == 3
    assert one.began == [1, 2, 2, 1, 3]


def test_a_pool_requests_no_more_slots_than_it_has_users_for(made):
    one = made(max_users=3)
    assert one.gate.one.waiting == 3
    assert one.gate.slots(5) == 3, "all are busy"
    assert one.gate.one.waiting == 0
    one.finish(2)
    assert one.gate.one.waiting == 1
    assert one.gate.slots(5) == 1
    assert one.began == [1, 2, 3, 2]
    counted = {found.name: found.value for found in metrics.read()}
    assert counted["arrivals"] == 4


def test_a_crashed_user_is_idle_again_and_a_stopped_one_is_replaced(made):
    one = made(max_users=2)
    one.gate.slots(2)

    def crash(user_id):
        raise ValueError("no")

    one.action = crash
    one.finish(1)
    assert one.gate.one.waiting == 1
    one.action = lambda user_id: user.stop()
    one.finish(2)
    assert one.gate.one.waiting == 2
    assert one.gate.slots(5) == 2
    assert one.began == [1, 2, 1, 3], "no number comes twice"
    assert one.board.row(0)[Cell.HIGHEST_USER] == 3


def test_running_out_of_user_ids_is_reported(made):
    one = made(max_users=1, board=Board(workers=1, highest_id=1))
    one.action = lambda user_id: user.stop()
    one.gate.slots(1)
    one.finish(1)
    one.gate.slots(1)
    assert one.began == [1]
    assert any("user ids up to 1 are used up" in getattr(note, "text", "") for note in one.reports)


def test_users_of_a_lost_worker_are_idle_until_a_slot_arrives(made):
    board = Board(workers=1, highest_id=20)
    board.row(0)[Cell.HIGHEST_USER] = 2
    for user_id in (1, 2):
        board.users[user_id] = UserState.RUNNING
    one = made(max_users=3, board=board)
    assert one.gate.one.waiting == 1, "two are yet to arrive"
    for user_id in (1, 2):  # as the node does
        board.users[user_id] = UserState.RESTARTING
    one.pool.deal(StartUsers(0, [1, 2], 0, [], again=True))
    # They start through the throttle of user starts, which is open.
    one.wait(lambda: one.gate.one.waiting == 3)
    assert one.began == []
    assert one.gate.slots(5) == 3
    assert sorted(one.began) == [1, 2, 3]


def test_quick_kinds_do_not_displace_slow_ones(made):
    began = []

    def slow(user_id):
        began.append("slow")
        user.wait_stopping()

    def quick(user_id):
        began.append("quick")

    kinds = UserKinds({slow: 1, quick: 1})
    one = made(max_users=50, board=Board(workers=1, highest_id=60), start=StartOfKind(kinds, None))
    for _ in range(40):
        assert one.gate.slots(1) == 1
    slow_ones = began.count("slow")
    assert len(began) == 40
    assert abs(slow_ones - 20) < 2
    counted = {found.name: found.value for found in metrics.read()}
    assert counted["kind.slow.iterations"] == slow_ones
    assert counted["kind.quick.iterations"] == 40 - slow_ones
    assert counted["kind.slow.users"] == 0


def test_a_rare_kind_does_not_start_on_all_workers_at_once(made):
    began = []

    def rare():
        began.append("rare")

    def usual():
        began.append("usual")

    board = Board(workers=8, highest_id=80)
    start = StartOfKind(UserKinds({rare: 1, usual: 9}), None)
    by_worker = []
    for worker in range(8):
        one = made(max_users=80, board=board, start=start, worker=worker)
        for _ in range(20):
            assert one.gate.slots(1) == 1
        by_worker.append(began[-20:])
    assert all(1 <= kinds.count("rare") <= 3 for kinds in by_worker)
    at_once = [kinds.count("rare") for kinds in zip(*by_worker, strict=True)]
    assert max(at_once) < 6, at_once


def test_a_worker_gives_up_its_excess_slots_when_a_node_joins(made):
    it = made(max_users=6, layout=by_worker([1, 1])._replace(begun=1))
    assert len(it.gate.line) == 6
    assert it.gate.slots(2) == 2
    assert it.began == [1, 3], "the other ids belong to a node that may join"
    it.placement.move(Move(0, 0, [], [0, 1]))
    it.pool.moved()
    assert len(it.gate.line) == 1
    assert it.gate.slots(4) == 1
    it.placement.move(Move(1, 20, [1], [0]))
    it.pool.moved()
    assert len(it.gate.line) == 3


def test_a_worker_of_a_node_that_has_not_joined_takes_no_slots(made):
    board = Board(workers=2, highest_id=20)
    it = made(max_users=6, board=board, worker=1, layout=by_worker([1, 1])._replace(begun=1))
    assert it.gate.line == []
    it.placement.move(Move(0, 0, [], [0, 1]))
    it.pool.moved()
    assert it.gate.slots(4) == 3
    assert it.began == [2, 4, 6]
