"""The start queue: each user starts once, on its own worker, whatever happens to workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from amoc.base.clock import S_NS
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import StartUsers
from amoc.runtime.controller.start_queue import CHUNK, MAX_OUTSTANDING, StartQueue
from amoc.users.placement import Placement, one_node, round_robin

NOW_NS = 10**15


def queue(workers: int, **more: float) -> StartQueue:
    return StartQueue(Placement(one_node(workers)), **more)


class World(RuleBasedStateMachine):
    """A model of a node: workers start users, die and are replaced; the board keeps track."""

    @initialize(workers=st.integers(1, 4))
    def begin(self, workers: int) -> None:
        self.workers = workers
        self.starts = queue(workers)
        self.next_id = 1
        self.up = [False] * workers
        self.dealt: list[list[tuple[int, bool]]] = [[] for _ in range(workers)]
        self.alive: list[set[int]] = [set() for _ in range(workers)]
        self.board_again: list[set[int]] = [set() for _ in range(workers)]
        self.board_unstarted: list[set[int]] = [set() for _ in range(workers)]
        self.first_starts: Counter[int] = Counter()
        self.withdrawn: set[int] = set()

    @rule(count=st.integers(1, 3 * CHUNK))
    def add(self, count: int) -> None:
        self.starts.add(range(self.next_id, self.next_id + count))
        self.next_id += count

    @rule(count=st.integers(1, CHUNK))
    def withdraw(self, count: int) -> None:
        known = {one for dealt in self.dealt for one, _ in dealt}
        for taken in self.starts.withdraw(count):
            assert taken not in self.withdrawn
            assert taken not in known
            assert not self.first_starts[taken]
            self.withdrawn.add(taken)

    @rule()
    def deal(self) -> None:
        for block in self.starts.deal(NOW_NS):
            assert self.up[block.worker], "a worker that is down is dealt nothing"
            assert 0 < len(block.ids) <= CHUNK
            for user_id in block.ids:
                assert Placement(one_node(self.workers)).worker_of(user_id) == block.worker, (
                    "a user keeps its worker"
                )
                assert user_id not in self.withdrawn, "withdrawn users are not dealt"
                self.dealt[block.worker].append((user_id, block.again))

    @rule(worker=st.integers(0, 3), most=st.integers(1, 2 * CHUNK))
    def start(self, worker: int, most: int) -> None:
        worker %= self.workers
        if not self.up[worker]:
            return
        begun, self.dealt[worker] = self.dealt[worker][:most], self.dealt[worker][most:]
        for user_id, again in begun:
            assert user_id not in self.alive[worker], "nobody is started while alive"
            self.alive[worker].add(user_id)
            self.first_starts[user_id] += not again
        if begun:
            self.starts.started(worker, len(begun))

    @rule(worker=st.integers(0, 3))
    def fall(self, worker: int) -> None:
        worker %= self.workers
        if self.up[worker]:
            self.up[worker] = False
            self.starts.down(worker)
            self.board_again[worker] |= self.alive[worker]
            for user_id, again in self.dealt[worker]:
                (self.board_again if again else self.board_unstarted)[worker].add(user_id)
            self.alive[worker], self.dealt[worker] = set(), []

    @rule(worker=st.integers(0, 3))
    def rise(self, worker: int) -> None:
        worker %= self.workers
        if not self.up[worker]:
            self.up[worker] = True
            again, unstarted = self.board_again[worker], self.board_unstarted[worker]
            self.starts.up(worker, sorted(again), sorted(unstarted))
            # Users listed again stay on the board until they are dealt; for simplicity, deal now.
            self.board_again[worker], self.board_unstarted[worker] = set(), set()
            while again or unstarted:
                for block in self.starts.deal(NOW_NS):
                    for user_id in block.ids:
                        self.dealt[block.worker].append((user_id, block.again))
                        if block.worker == worker:
                            (again if block.again else unstarted).discard(user_id)
                begun, self.dealt[worker] = self.dealt[worker], []
                for user_id, restarted in begun:
                    assert user_id not in self.alive[worker]
                    self.alive[worker].add(user_id)
                    self.first_starts[user_id] += not restarted
                self.starts.started(worker, len(begun))

    @invariant()
    def no_user_has_two_first_starts(self) -> None:
        assert all(count <= 1 for count in getattr(self, "first_starts", {}).values())

    @invariant()
    def no_worker_is_far_ahead(self) -> None:
        assert all(len(dealt) <= MAX_OUTSTANDING for dealt in getattr(self, "dealt", ()))

    def teardown(self) -> None:
        if not hasattr(self, "workers"):
            return
        for worker in range(self.workers):
            self.rise(worker)
        for _ in range(2 + self.next_id // CHUNK):
            self.deal()
            for worker in range(self.workers):
                self.start(worker, 10**9)
        assert not self.starts.waiting()
        assert not self.starts.outstanding
        everybody = set(range(1, self.next_id)) - self.withdrawn
        assert {user_id for user_id, count in self.first_starts.items() if count} == everybody


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.integers(1, 9), st.integers(1, 500), st.integers(1, 10**6))
def test_users_keep_their_start_times_on_any_worker(workers, count, first):
    starts = queue(workers)
    for worker in range(workers):
        starts.up(worker, [], [])
    dues = [NOW_NS + 7 * number for number in range(count)]
    starts.add(range(first, first + count), dues)
    found = {}
    for block in starts.deal(NOW_NS):
        assert len(block.offsets_ns) == len(block.ids)
        for user_id, offset_ns in zip(block.ids, block.offsets_ns, strict=True):
            found[user_id] = block.due_ns + offset_ns
    assert found == dict(zip(range(first, first + count), dues, strict=True))


def test_users_of_a_lost_worker_restart_before_all_others():
    starts = queue(1)
    starts.add(range(1, 4))
    starts.up(0, [8, 9], [7])
    kinds = [(list(block.ids), block.again) for block in starts.deal(NOW_NS)]
    assert kinds == [([8, 9], True), ([7], False), ([1, 2, 3], False)]


def test_a_worker_that_is_behind_gets_no_users_until_it_has_started_some():
    starts = queue(1)
    starts.up(0, [], [])
    starts.add(range(1, 2 * MAX_OUTSTANDING + 1))
    assert sum(len(block.ids) for block in starts.deal(NOW_NS)) == MAX_OUTSTANDING
    assert starts.deal(NOW_NS) == []
    starts.started(0, 10)
    (block,) = starts.deal(NOW_NS)
    assert isinstance(block, StartUsers)
    assert len(block.ids) == 10


def test_the_highest_ids_are_withdrawn_first_and_dealt_ones_are_not():
    starts = queue(2)
    starts.add(range(1, 11))
    assert starts.withdraw(3) == [10, 9, 8]
    starts.up(0, [], [])
    starts.deal(NOW_NS)
    assert starts.withdraw(100) == [6, 4, 2]
    assert starts.waiting() == 0


@given(
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 400), st.booleans()),
            st.tuples(st.just("fill"), st.integers(0, 20)),
            st.tuples(st.just("withdraw"), st.integers(0, 500)),
            st.tuples(
                st.just("withdraw_among"),
                st.integers(0, 500),
                st.integers(1, 1500),
                st.integers(1, 700),
            ),
            st.tuples(st.just("withdraw_ids"), st.integers(1, 2000), st.integers(0, 500)),
            st.tuples(st.just("up"), st.integers(0, 4)),
            st.tuples(st.just("deal")),
        ),
        max_size=20,
    ),
)
def test_withdrawals_match_a_naive_list(workers, steps):
    starts, listed, dues, next_id = queue(workers), [], {}, 7
    gaps = []
    for step, *arguments in steps:
        match step, arguments:
            case "add", [count, timed]:
                ids = range(next_id, next_id + count)
                times = [NOW_NS + 3 * one for one in ids] if timed else []
                starts.add(ids, times)
                listed += ids
                dues.update(zip(ids, times, strict=False))
                next_id += count + 10
                gaps.append(range(next_id - 10, next_id))
            case "fill", [which] if gaps:  # ids below some added before
                ids = gaps.pop(which % len(gaps))
                starts.add(ids)
                listed += ids
            case "withdraw_ids", [first, count]:
                expected = {one for one in listed if first <= one <= first + count}
                found = starts.withdraw_ids(first, first + count)
                assert sorted(found) == sorted(expected)
                listed = [one for one in listed if one not in expected]
            case "withdraw", [count]:
                expected = sorted(listed, reverse=True)[:count]
                assert starts.withdraw(count) == expected
                listed = [one for one in listed if one not in set(expected)]
            case "withdraw_among", [count, first, size]:
                among = range(first, first + size)
                there = [one for one in listed if one in among]
                assert starts.undealt(among) == len(there)
                expected = sorted(there, reverse=True)[:count]
                assert starts.withdraw(count, among) == expected
                listed = [one for one in listed if one not in set(expected)]
            case "up", [worker] if worker < workers:
                starts.up(worker, [], [])
            case "deal", _:
                for block in starts.deal(NOW_NS):
                    listed = [one for one in listed if one not in set(block.ids)]
                    for one, offset_ns in zip(block.ids, block.offsets_ns, strict=False):
                        assert block.due_ns + offset_ns == dues[one]
        assert starts.waiting() == len(listed)


def test_withdrawing_many_users_with_times_reads_each_once():
    starts = queue(4)
    reads = 0

    class Times(list):
        def __getitem__(self, key):
            nonlocal reads
            found = super().__getitem__(key)
            reads += len(found) if isinstance(key, slice) else 1
            return Times(found) if isinstance(key, slice) else found

    starts.add(range(1, 80_001), Times(range(80_000)))
    reads = 0
    assert starts.withdraw(50_000) == list(range(80_000, 30_000, -1))
    assert reads <= 80_000
    assert starts.withdraw(50_000) == list(range(30_000, 0, -1))


def dealt(starts: StartQueue, *at_s: float) -> list[int]:
    """Return the number of users dealt at each of these times."""
    return [
        sum(len(block.ids) for block in starts.deal(NOW_NS + round(time_s * S_NS)))
        for time_s in at_s
    ]


def test_users_of_lost_workers_are_dealt_at_the_pace_of_the_whole_run():
    starts = queue(2, pace_per_s=100.0)
    for worker in (0, 1):
        starts.up(worker, range(1 + worker, 201 + worker, 2), [])
    # After a gap, at most a tenth of a second is caught up on.
    assert dealt(starts, 0.0, 0.0, 0.005, 0.05, 0.1, 60.0, 60.1) == [10, 0, 0, 5, 5, 10, 10]
    assert starts.waiting() == 160


def test_paced_users_do_not_delay_others():
    starts = queue(1, pace_per_s=10.0)
    starts.up(0, [], [])
    starts.add(range(1, 101), paced=True)
    starts.add(range(101, 104), [NOW_NS, NOW_NS, NOW_NS])
    (paced, others) = starts.deal(NOW_NS)
    assert (paced.ids, others.ids, others.offsets_ns) == ([1], [101, 102, 103], [0, 0, 0])
    assert dealt(starts, 0.05, 0.1, 0.15, 0.2) == [0, 1, 0, 1]
    assert starts.withdraw(1) == [100]
    assert starts.waiting() == 96


def test_without_a_pace_all_are_dealt_at_once():
    starts = queue(1)
    starts.up(0, range(1, 11), range(11, 21))
    starts.add(range(21, 31), paced=True)
    assert dealt(starts, 0.0) == [30]


@pytest.mark.parametrize("per_s", [10.0, 50.0, 1000.0])
def test_workers_share_the_pace_evenly(per_s):
    starts = queue(5, pace_per_s=per_s)
    for worker in range(5):
        starts.up(worker, [], [])
    starts.add(range(1, 10_001), paced=True)
    got = Counter()
    for step in range(1, 251):
        for block in starts.deal(NOW_NS + step * 20_000_000):
            starts.started(block.worker, len(block.ids))
            got[block.worker] += len(block.ids)
    assert max(got.values()) - min(got.values()) <= 1 + per_s * 0.02
    assert sum(got.values()) == pytest.approx(5 * per_s, abs=1 + per_s / 10)


@given(
    st.integers(2, 4),
    st.integers(1, 2),
    st.integers(0, 300),
    st.integers(0, 60),
    st.booleans(),
    st.data(),
)
def test_users_of_a_lost_node_are_dealt_by_the_others_each_once(
    nodes: int, each: int, users: int, withdrawn: int, staged: bool, data: st.DataObject
) -> None:
    place = Placement(round_robin([each] * nodes))
    starts = StartQueue(place)
    for worker in range(place.workers):
        starts.up(worker, [], [])
    early = [one for block in _dealt(starts, range(1, 11)) for one in block.ids]
    assert sorted(early) == list(range(1, 11))
    ids = range(11, 11 + users)
    starts.add(ids, [NOW_NS + one for one in ids] if staged else ())
    lost = place.numbers(data.draw(st.integers(0, nodes - 1)))
    left = [one for one in range(place.workers) if one not in lost]
    again = [one for one in early if place.worker_of(one) in lost]
    place.move(Move(1, 10**6, list(lost), left))
    starts.lose(lost, again)
    taken = starts.withdraw(withdrawn)
    assert taken == list(range(ids.stop - 1, ids.stop - 1 - min(withdrawn, users), -1))
    late = starts.deal(NOW_NS)
    for block in late:
        assert block.worker in left
        assert {place.worker_of(one) for one in block.ids} == {block.worker}
        if staged and not block.again:
            dues = [block.due_ns + offset_ns for offset_ns in block.offsets_ns]
            assert dues == [NOW_NS + one for one in block.ids]
    assert sorted(one for block in late if block.again for one in block.ids) == sorted(again)
    fresh = sorted(one for block in late if not block.again for one in block.ids)
    assert fresh == [one for one in ids if one not in taken]
    assert not starts.waiting()


def _dealt(starts: StartQueue, ids: range) -> list[StartUsers]:
    starts.add(ids)
    return starts.deal(NOW_NS)


@given(st.integers(0, 300), st.integers(1, 400), st.integers(0, 40), st.booleans(), st.booleans())
def test_undealt_users_move_to_a_joining_node_and_dealt_ones_stay(
    users: int, first: int, withdrawn: int, staged: bool, paced: bool
) -> None:
    place = Placement(round_robin([2, 1, 2])._replace(seats=[0, 1]))
    starts = StartQueue(place, workers=3)
    for worker in range(3):
        starts.up(worker, [], [])
    early = [one for block in _dealt(starts, range(1, 11)) for one in block.ids]
    assert sorted(early) == list(range(1, 11))
    ids = range(11, 11 + users)
    starts.add(ids, [NOW_NS + one for one in ids] if staged else (), paced=paced)
    taken = starts.withdraw(withdrawn)
    before = {one: place.worker_of(one) for one in ids}
    move = Move(first, 10**6, [], [0, 2, 3, 1, 4])
    place.move(move)
    for worker in (3, 4):
        starts.up(worker, [], [])
    starts.spread(move.first, move.last)
    assert starts.waiting() == users - len(taken)
    late = starts.deal(NOW_NS)
    for block in late:
        for one in block.ids:
            turns = move.to[(one - first) % 5]
            assert block.worker == (turns if one >= first else before[one])
        if staged:
            dues = [block.due_ns + offset_ns for offset_ns in block.offsets_ns]
            assert dues == [NOW_NS + one for one in block.ids]
    fresh = sorted(one for block in late for one in block.ids)
    assert fresh == [one for one in ids if one not in taken]


def test_users_dealt_ahead_are_limited_where_nodes_may_join():
    starts = queue(2)
    for worker in range(2):
        starts.up(worker, [], [])
    starts.add(range(1, 101))
    assert [list(one.ids) for one in starts.deal(NOW_NS, ahead=3)] == [[1, 3, 5], [2, 4, 6]]
    starts.started(1, 2)
    assert [list(one.ids) for one in starts.deal(NOW_NS, ahead=3)] == [[8, 10]]


def test_dealt_users_that_have_not_started_count_as_new_on_another_node():
    place = Placement(round_robin([1, 1]))
    starts = StartQueue(place)
    for worker in range(2):
        starts.up(worker, [], [])
    _dealt(starts, range(1, 21))
    starts.started(0, 4)
    assert starts.unstarted([0]) == {9, 11, 13, 15, 17, 19}
    assert (starts.to_start([0]), starts.to_start([1])) == (6, 10)
    place.move(Move(1, 100, [0], [1]))
    starts.down(1)
    starts.lose([0], [1, 3], starts.unstarted([0]))
    starts.up(1, [2], [4])
    blocks = [(list(one.ids), one.again) for one in starts.deal(NOW_NS)]
    assert blocks == [([2], True), ([1, 3], True), ([4], False), ([9, 11, 13, 15, 17, 19], False)]


def test_users_waiting_to_restart_are_not_new_when_their_node_is_lost():
    starts = StartQueue(Placement(round_robin([1, 1])))
    starts.up(0, [1, 3], [5])
    starts.add(range(7, 8))
    blocks = [(list(one.ids), one.again) for one in starts.deal(NOW_NS)]
    assert blocks == [([1, 3], True), ([5], False), ([7], False)]
    assert starts.unstarted([0]) == {5, 7}
