"""Start pacing: whatever slots and clocks do, each user starts once, none too early or too many."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.engine.pacing import HORIZON_NS, MOST_OUTSTANDING, VOID_NS, StartPlan
from amoc.engine.placement import ids_of
from amoc.timing import MS_NS, S_NS

BEGIN_NS = 10**15  # a monotonic clock begins anywhere
DEAL_NS = 20 * MS_NS


class World:
    """A node as the plan sees it: workers start users, die, are replaced, and the board knows.

    Attributes:
        starts: How often each user was started for the first time by a worker.
        dues: Every time that was dealt, in the order of dealing.
    """

    def __init__(self, rate_per_s: float, users: int, slots: int) -> None:
        ids = [ids_of(1, users, 0, 1, slot, slots) for slot in range(slots)]
        self.users, self.slots, self.rate = users, slots, rate_per_s
        self.plan = StartPlan(rate_per_s, ids)
        self.now_ns = BEGIN_NS
        self.latest_ns = BEGIN_NS  # when it was last dealt, by the clock that may step back
        self.up = [False] * slots
        self.dealt: list[list[tuple[int, int, bool]]] = [[] for _ in range(slots)]
        self.alive: list[list[int]] = [[] for _ in range(slots)]
        self.starts: Counter[int] = Counter()
        self.restarts: Counter[int] = Counter()
        self.owed: Counter[int] = Counter()
        self.dues: list[int] = []
        self.shares: Counter[int] = Counter()

    def deal(self) -> None:
        self.latest_ns = max(self.latest_ns, self.now_ns)
        found = []
        for block in self.plan.deal(self.now_ns):
            assert self.up[block.slot], "a slot without a worker is dealt nothing"
            assert block.ids
            offsets = block.offsets_ns or [0] * len(block.ids)
            assert list(offsets) == sorted(offsets)
            assert offsets[0] == 0
            for user_id, offset_ns in zip(block.ids, offsets, strict=True):
                assert (user_id - 1) % self.slots == block.slot, "a user keeps its slot"
                found.append(block.due_ns + offset_ns)
                self.dealt[block.slot].append((user_id, block.due_ns + offset_ns, block.again))
                self.shares[block.slot] += 1
        for due_ns in found:
            assert due_ns <= self.now_ns + HORIZON_NS
            if self.rate < inf:
                assert due_ns >= self.now_ns - VOID_NS, "what is hopelessly late is void"
        self.dues += sorted(found)

    def start(self, slot: int, most: int) -> None:
        """The worker starts up to `most` users whose time has come."""
        count = 0
        while count < most and self.dealt[slot] and self.dealt[slot][0][1] <= self.now_ns:
            user_id, _, again = self.dealt[slot].pop(0)
            assert user_id not in self.alive[slot], "nobody is started while alive"
            self.alive[slot].append(user_id)
            (self.restarts if again else self.starts)[user_id] += 1
            count += 1
        if count:
            self.plan.started(slot, count)

    def fall(self, slot: int) -> None:
        if self.up[slot]:
            self.up[slot] = False
            self.plan.down(slot)

    def rise(self, slot: int) -> None:
        if self.up[slot]:
            return
        self.up[slot] = True
        lost = self.alive[slot]
        self.owed.update(lost)
        again = lost + [user_id for user_id, _, again in self.dealt[slot] if again]
        # Those that the plan still had to start again are on the board as well.
        again += [user_id for user_id in self.plan._slots[slot].again if user_id not in again]
        unstarted = [user_id for user_id, _, again in self.dealt[slot] if not again]
        unstarted += self.plan._slots[slot].unstarted
        self.alive[slot], self.dealt[slot] = [], []
        self.plan.up(slot, sorted(again), sorted(unstarted))

    def finish(self) -> None:
        """All workers come up and stay; the clock goes on evenly until everybody has started."""
        for slot in range(self.slots):
            self.rise(slot)
        self.now_ns = max(self.now_ns, self.latest_ns)
        left = self.plan.waiting() + sum(map(len, self.dealt))
        turns = 20 + self.slots + (0 if self.rate == inf else int(left / self.rate / 0.02) + 1)
        for _ in range(turns):
            self.deal()
            self.now_ns += DEAL_NS
            for slot in range(self.slots):
                self.start(slot, 10**9)
        self.now_ns += HORIZON_NS
        for slot in range(self.slots):
            self.start(slot, 10**9)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("deal"), st.integers(0, 3)),
        st.tuples(
            st.just("wait"), st.sampled_from([1, DEAL_NS, 99 * MS_NS, 101 * MS_NS, 5 * S_NS])
        ),
        st.tuples(st.just("back"), st.sampled_from([1, DEAL_NS, S_NS])),
        st.tuples(st.just("start"), st.integers(0, 3)),
        st.tuples(st.just("fall"), st.integers(0, 3)),
        st.tuples(st.just("rise"), st.integers(0, 3)),
    ),
    max_size=60,
)
rates = st.sampled_from([0.5, 20.0, 33.3, 1000.0, 40_000.0, inf])


def live_through(rate_per_s: float, users: int, slots: int, story) -> World:
    world = World(rate_per_s, users, slots)
    for what, number in story:
        slot = number % slots
        if what == "wait":
            world.now_ns += number
        elif what == "back":
            world.now_ns -= number
        elif what == "start":
            world.start(slot, 1 + number)
        elif what == "fall":
            world.fall(slot)
        elif what == "rise":
            world.rise(slot)
        else:
            world.deal()
    return world


@given(rates, st.integers(1, 60), st.integers(1, 4), steps)
def test_every_user_starts_exactly_once_whatever_happens_on_the_way(rate, users, slots, story):
    world = live_through(rate, users, slots, story)
    world.finish()
    assert world.plan.waiting() == 0
    assert world.plan.outstanding() == 0
    assert world.starts == dict.fromkeys(range(1, users + 1), 1)
    assert world.restarts == +world.owed, "who lost its worker starts again, as often as that"


@given(rates.filter(lambda rate: rate < inf), st.integers(1, 60), st.integers(1, 4), steps)
def test_times_are_never_closer_than_the_rate_allows(rate, users, slots, story):
    world = live_through(rate, users, slots, story)
    world.finish()
    least_ns = int(S_NS / rate) - 1
    for before_ns, after_ns in zip(world.dues, world.dues[1:], strict=False):
        assert after_ns - before_ns >= least_ns
    # So a window of length W holds at most rate × W + 1 times; each is used VOID_NS late at most.


@given(st.floats(0.01, 1e6), st.integers(1, 4))
def test_times_are_evenly_spaced_without_drift_while_nothing_is_late(rate, slots):
    world = World(rate, 400, slots)
    for slot in range(slots):
        world.rise(slot)
    for _ in range(30):
        world.deal()
        world.now_ns += DEAL_NS
        for slot in range(slots):
            world.start(slot, 10**9)
    for number, due_ns in enumerate(world.dues):
        assert abs(due_ns - BEGIN_NS - number * S_NS / rate) <= 1 + number * 1e-6


@given(st.integers(2, 8), st.integers(1, 40))
def test_no_slot_waits_while_others_get_two(slots, turns):
    world = World(1000.0, 10_000, slots)
    for slot in range(slots):
        world.rise(slot)
    for _ in range(turns):
        world.deal()
        world.now_ns += 7 * MS_NS
        assert max(world.shares.values()) - min(world.shares[slot] for slot in range(slots)) <= 1


def test_a_slot_without_a_worker_leaves_its_times_to_the_others():
    world = World(1000.0, 10_000, 3)
    world.rise(0)
    world.rise(2)
    world.deal()
    assert len(world.dues) == 101
    assert world.shares.keys() == {0, 2}


def test_users_that_lost_their_worker_come_before_those_that_never_ran():
    world = World(1000.0, 100, 1)
    world.plan.up(0, again=[7, 9], unstarted=[3])
    blocks = world.plan.deal(BEGIN_NS)
    assert [(list(block.ids[:2]), block.again) for block in blocks] == [
        ([7, 9], True),
        ([3, 1], False),
    ]
    assert blocks[0].due_ns + blocks[0].offsets_ns[-1] < blocks[1].due_ns


def test_nothing_is_saved_up_while_no_worker_is_there():
    world = World(1000.0, 10_000, 1)
    world.deal()
    world.now_ns += 60 * S_NS
    world.rise(0)
    world.deal()
    assert world.dues[0] >= world.now_ns - VOID_NS
    assert len(world.dues) <= (VOID_NS + HORIZON_NS) // MS_NS + 1


def test_a_dealer_that_slept_catches_up_a_little_and_no_more():
    world = World(1000.0, 100_000, 1)
    world.rise(0)
    world.deal()
    before = len(world.dues)
    world.now_ns += HORIZON_NS + 50 * MS_NS
    world.deal()
    assert len(world.dues) - before == 150
    before = len(world.dues)
    world.now_ns += HORIZON_NS + 300 * MS_NS
    world.deal()
    assert len(world.dues) - before == 101
    assert world.dues[before] == world.now_ns


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), max_size=25),
    st.lists(st.integers(0, 1500), min_size=4, max_size=4),
)
@example(1, [(0, 1), (0, 1)], [1, 0, 0, 0])
def test_without_a_limit_no_slot_has_more_outstanding_than_it_may(slots, story, lost):
    world = World(inf, 60_000, slots)
    for slot in range(slots):
        world.plan.up(slot, again=list(range(1, lost[slot] + 1)), unstarted=[])
    for number, count in story:
        world.plan.deal(BEGIN_NS)
        for one in world.plan._slots:
            assert one.outstanding <= MOST_OUTSTANDING
        world.plan.started(number % slots, count)


@pytest.mark.parametrize("rate", [1e-9, 1e-300, 1e300])
def test_an_absurd_rate_is_slow_or_fast_but_not_an_error(rate):
    world = World(rate, 10, 2)
    world.rise(0)
    world.rise(1)
    for _ in range(3):
        world.deal()
        world.now_ns += DEAL_NS
    assert world.dues[0] == BEGIN_NS
    assert len(world.dues) == (1 if rate < 1 else 10)
