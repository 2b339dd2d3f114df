"""Slot schedules, their profiles and the slot allocator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.throttle.blocks import Account
from amoc.throttle.profiles import Constant, Line, Profile, Ramps, Sine, Steps
from amoc.throttle.slot_allocator import ASK_BACK_NS, HORIZON_NS, VOID_NS, SlotAllocator
from amoc.throttle.slot_schedule import Change, Mode, SlotSchedule
from amoc.throttle.throttle import LEAD_NS

START_NS = 10**15


def schedule(profile: Profile, interval_ns: int = S_NS) -> SlotSchedule:
    return SlotSchedule(Change(1, START_NS, Mode.RUN, profile, START_NS, interval_ns))


def dues(one: SlotSchedule, until_ns: int) -> list[tuple[int, int, float]]:
    """All slots due by `until_ns`: epoch, number, seconds since the start."""
    found = []
    while (run := one.peek(START_NS + until_ns)) is not None:
        for index in range(run.size):
            due_ns = run.due_ns + round(index * run.spacing_ns) if index else run.due_ns
            found.append((run.epoch, run.first + index, (due_ns - START_NS) / S_NS))
        one.take(run.size)
    return found


def test_the_first_slot_is_due_at_once_and_the_rest_are_evenly_spaced():
    assert dues(schedule(Constant(4)), S_NS) == [
        (1, 0, 0.0),
        (1, 1, 0.25),
        (1, 2, 0.5),
        (1, 3, 0.75),
        (1, 4, 1.0),
    ]


def test_a_fractional_spacing_does_not_drift():
    one = schedule(Constant(7), 60 * S_NS)
    last = dues(one, 86_400 * S_NS)[-1]
    assert last[1] == 7 * 1440
    assert abs(last[2] - 86_400) < 1e-6


def test_a_schedule_at_rate_0_has_no_slots():
    assert dues(schedule(Constant(0)), 10**6 * S_NS) == []


def test_a_change_keeps_the_progress_towards_the_next_slot():
    one = schedule(Constant(1))
    dues(one, S_NS)
    one.change(Change(2, START_NS + 3 * S_NS // 2, Mode.RUN, Constant(10), START_NS, S_NS))
    # Half a slot was made at 1.5 s; the other half takes 0.05 s at the new rate.
    assert dues(one, 17 * S_NS // 10) == [(2, 0, 1.55), (2, 1, 1.65)]


def test_slots_laid_out_beyond_a_change_are_void():
    one = schedule(Constant(10))
    assert len(dues(one, S_NS)) == 11
    one.change(Change(2, START_NS + S_NS // 2, Mode.HELD, Constant(10), START_NS, S_NS))
    one.change(Change(3, START_NS + S_NS, Mode.RUN, Constant(10), START_NS, S_NS))
    # The slot at 0.5 s was due exactly when the pause began, so its progress is complete.
    assert dues(one, 11 * S_NS // 10) == [(3, 0, 1.0), (3, 1, 1.1)]


def test_after_an_open_stretch_the_first_slot_is_a_full_spacing_later():
    one = schedule(Constant(10))
    one.change(Change(2, START_NS + 50 * MS_NS, Mode.OPEN, Constant(inf), START_NS, S_NS))
    one.change(Change(3, START_NS + S_NS, Mode.RUN, Constant(10), START_NS, S_NS))
    assert dues(one, 11 * S_NS // 10) == [(1, 0, 0.0), (3, 0, 1.1)]


def test_an_idle_schedule_saves_at_most_one_slot():
    one = schedule(Constant(10))
    dues(one, S_NS // 2)
    one.slide(START_NS + 60 * S_NS)
    assert [due for _, _, due in dues(one, 60 * S_NS + 150 * MS_NS)] == [60.0, 60.1]


def test_sliding_over_changes_uses_the_newest_epoch():
    one = schedule(Constant(10))
    one.change(Change(2, START_NS + 5 * S_NS, Mode.RUN, Constant(1), START_NS, S_NS))
    one.slide(START_NS + 60 * S_NS)
    assert dues(one, 61 * S_NS) == [(2, 0, 60.0), (2, 1, 61.0)]


def test_sliding_over_a_change_restarts_slot_numbers_at_0():
    one = schedule(Constant(10))
    assert dues(one, S_NS)[-1] == (1, 10, 1.0)
    one.change(Change(2, START_NS + 5 * S_NS, Mode.RUN, Constant(1), START_NS, S_NS))
    one.slide(START_NS + 60 * S_NS)
    assert dues(one, 61 * S_NS) == [(2, 0, 60.0), (2, 1, 61.0)]


def test_sliding_within_an_epoch_continues_its_slot_numbers():
    one = schedule(Constant(10))
    dues(one, S_NS)
    one.slide(START_NS + 60 * S_NS)
    assert dues(one, 60 * S_NS) == [(1, 11, 60.0)]
    one.slide(START_NS + 60 * S_NS)  # the next one is due later anyway
    assert dues(one, 61 * S_NS)[0] == (1, 12, 60.1)


def test_a_change_rewinds_slots_already_laid_out_at_a_later_rate():
    one = schedule(Steps((0, S_NS), (10.0, 1000.0)))
    dues(one, 11 * S_NS // 10)  # laid out far into the second step
    one.change(Change(2, START_NS + 950 * MS_NS, Mode.RUN, TEN, START_NS, S_NS))
    assert dues(one, 11 * S_NS // 10) == [(2, 0, 1.0), (2, 1, 1.1)]


def test_steps_change_the_rate_at_their_times():
    steps = Steps((0, S_NS, 2 * S_NS), (10.0, 0.0, 5.0))
    found = [due for _, _, due in dues(schedule(steps), 3 * S_NS)]
    # The slot that would be due as the rate falls to 0 is due when it rises again.
    assert found == [*(index / 10 for index in range(10)), 2.0, 2.2, 2.4, 2.6, 2.8, 3.0]


def test_a_ramp_yields_as_many_slots_as_its_area():
    ramp = Ramps((Line(0, 10 * S_NS, 0.0, 200.0),))
    assert abs(len(dues(schedule(ramp), 10 * S_NS)) - 1001) <= 1


def test_a_sine_yields_as_many_slots_as_its_mean():
    wave = Sine(0.0, 200.0, 2 * S_NS)
    assert abs(len(dues(schedule(wave), 20 * S_NS)) - 2001) <= 2


# Properties: the rate is never exceeded, no slot is used twice, nobody starves.

_RATES = st.sampled_from([0.0, 0.5, 3.0, 10.0, 97.0, 300.0, 1000.0])
_ASKERS = ("a", "b", "c")
_STEP = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 400)),
    st.tuples(st.just("rate"), _RATES),
    st.tuples(st.just("ramp"), st.tuples(_RATES, _RATES, st.integers(1, 500))),
    st.tuples(st.just("hold"), st.none()),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("want"), st.tuples(st.sampled_from(_ASKERS), st.integers(0, 50))),
    st.tuples(
        st.sampled_from(("report", "report_again", "lose", "leave")), st.sampled_from(_ASKERS)
    ),
    st.tuples(st.just("sleep"), st.integers(1, 400)),
)


TEN = Constant(10.0)
FAST = Constant(1000.0)


@dataclass
class World:
    """An allocator, its askers and the slots they used."""

    now_ns: int = START_NS
    epoch: int = 1
    mode: Mode = Mode.RUN
    profile: Profile = TEN
    origin_ns: int = START_NS
    changes: list[Change] = field(default_factory=list)
    want: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))
    since_ns: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ASKERS, 0))
    held: dict[str, list[tuple[int, int, int]]] = field(
        default_factory=lambda: {asker: [] for asker in _ASKERS}
    )
    sent: dict[str, list[tuple[int, int, int]]] = field(
        default_factory=lambda: {asker: [] for asker in _ASKERS}
    )
    used: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Time used, time due, epoch, slot number."""
    used_by: Counter[str] = field(default_factory=Counter)
    """Slots used by each asker since it joined."""
    answers: bool = True
    """Whether askers give back slots when asked to."""

    def __post_init__(self) -> None:
        change = self._change(self.now_ns)
        self.changes.append(change)
        self.ledger = SlotAllocator[str](change)

    def _change(self, from_ns: int) -> Change:
        return Change(self.epoch, from_ns, self.mode, self.profile, self.origin_ns, S_NS)

    def publish(self, *, new_profile: bool) -> None:
        from_ns = max(self.now_ns + LEAD_NS, self.changes[-1].from_ns)
        self.epoch += 1
        if new_profile:
            self.origin_ns = from_ns
        change = self._change(from_ns)
        self.changes.append(change)
        self.ledger.change(change, self.now_ns)
        for asker in _ASKERS:
            void = [one for one in self.held[asker] if one[1] < self.epoch and one[0] >= from_ns]
            self.held[asker] = [one for one in self.held[asker] if one not in void]
            self.add(asker, len(void))

    def add(self, asker: str, count: int) -> None:
        if count and not self.want[asker]:
            self.since_ns[asker] = self.now_ns
        self.want[asker] += count
        if count:
            self.report(asker)

    def report(self, asker: str) -> None:
        said = (self.want[asker], self.seen[asker], self.since_ns.get(asker, self.now_ns))
        self.sent[asker].append(said)
        self.ledger.want(asker, *said, self.now_ns)

    def leave(self, asker: str, from_ns: int | None = None) -> None:
        """All waiters of `asker` leave; slots due now (or from `from_ns` on) stay unused."""
        self.want[asker] = 0
        if from_ns is None:
            used = [due_ns for _, due_ns, *_ in self.used if due_ns == self.now_ns]
            from_ns = self.now_ns + len(used)  # slots used at this instant are not given back
        self.give_back(asker, from_ns, again=False)

    def give_back(self, asker: str, from_ns: int, *, again: bool = True) -> None:
        """`asker` gives back its slots due from `from_ns` on and, if `again`, wants as many."""
        kept = [one for one in self.held[asker] if one[0] < from_ns]
        gone = len(self.held[asker]) - len(kept)
        self.held[asker] = kept
        if gone and again:
            self.since_ns[asker] = self.now_ns
            self.want[asker] += gone
        since_ns = self.since_ns.get(asker, self.now_ns)
        said = (self.want[asker], self.seen[asker], since_ns)
        self.sent[asker].append(said)
        self.ledger.want(asker, *said, self.now_ns, from_ns)

    def report_again(self, asker: str) -> None:
        """Deliver again reports that are older than the newest block."""
        for said in self.sent[asker][-3:-1]:
            if said[1] < self.seen[asker]:
                self.ledger.want(asker, *said, self.now_ns)

    def deal(self) -> None:
        if self.answers:
            for asker in self.ledger.ask_back(self.now_ns):
                self.give_back(asker, self.now_ns + 20 * MS_NS)
        for asker, block in self.ledger.deal(self.now_ns):
            assert block.number == self.seen[asker] + 1
            if block.size > self.want[asker]:
                assert self.held[asker][-1][0] > self.now_ns + HORIZON_NS, "more than it wants"
            self.seen[asker] = block.number
            self.want[asker] = max(0, self.want[asker] - block.size)
            for index in range(block.size):
                due_ns = block.due_at(index)
                assert due_ns >= self.now_ns - VOID_NS, "void"
                self.held[asker].append((due_ns, block.epoch, block.first + index * block.stride))
            self.held[asker].sort()
            self.report(asker)

    def go_on(self, ms: int, *, dealing: bool) -> None:
        until_ns = self.now_ns + ms * MS_NS
        while self.now_ns < until_ns:
            self.now_ns += min(10 * MS_NS, until_ns - self.now_ns)
            if dealing and self.ledger.next_ns(self.now_ns) <= self.now_ns:
                self.deal()
            self.use()

    def use(self) -> None:
        for asker, held in self.held.items():
            while held and held[0][0] <= self.now_ns:
                due_ns, epoch, slot = held.pop(0)
                self.used_by[asker] += 1
                self.used.append((self.now_ns, due_ns, epoch, slot))

    def lose(self, asker: str) -> None:
        had = self.ledger.lost(asker, self.now_ns)
        due = sum(due_ns <= self.now_ns for due_ns, *_ in self.held[asker])
        assert had == self.used_by.pop(asker, 0) + due, "each slot that it had is known"
        self.held[asker].clear()
        self.want[asker] = self.seen[asker] = 0
        self.sent[asker].clear()

    def area(self, from_ns: int, to_ns: int) -> float:
        """Integral of the rates in force."""
        total, at_ns = 0.0, from_ns
        while at_ns < to_ns:
            index = max(i for i, one in enumerate(self.changes) if one.from_ns <= at_ns)
            change = self.changes[index]
            end_ns = self.changes[index + 1].from_ns if index + 1 < len(self.changes) else to_ns
            value, until_ns = change.profile.at(at_ns - change.origin_ns)
            end_ns = min(end_ns, to_ns, until_ns + change.origin_ns)
            if change.mode is Mode.RUN:
                total += value * (end_ns - at_ns) / change.interval_ns
            at_ns = end_ns
        return total


def play(steps: list[tuple[str, object]]) -> World:
    world = World()
    for what, value in steps:
        match what, value:
            case "pass", int(ms):
                world.go_on(ms, dealing=True)
            case "sleep", int(ms):  # without dealing
                world.go_on(ms, dealing=False)
            case "rate", float(rate):
                world.profile = Constant(rate)
                world.publish(new_profile=True)
            case "ramp", (before, after, ms):
                world.profile = Ramps((Line(0, ms * MS_NS, before, after),))
                world.publish(new_profile=True)
            case "hold", _:
                world.mode = Mode.HELD
                world.publish(new_profile=False)
            case "run", _:
                world.mode = Mode.RUN
                world.publish(new_profile=False)
            case "want", (asker, count):
                world.add(asker, count)
            case _, asker:
                getattr(world, what)(asker)
    return world


@settings(max_examples=300, deadline=None)
@given(st.lists(_STEP, max_size=40))
@example([("want", ("c", 2)), ("pass", 100), ("leave", "c"), ("lose", "c")])
def test_the_rate_is_never_exceeded_and_no_slot_is_used_twice(steps):
    world = play(steps)
    slots = [(epoch, slot) for _, _, epoch, slot in world.used]
    assert len(slots) == len(set(slots))
    assert all(due_ns <= used_ns for used_ns, due_ns, *_ in world.used)
    dues_ns = sorted(due_ns for _, due_ns, *_ in world.used)
    for start in range(0, len(dues_ns), max(1, len(dues_ns) // 25)):
        for end in range(start, len(dues_ns), max(1, len(dues_ns) // 25)):
            passed = end - start + 1
            assert passed <= world.area(dues_ns[start], dues_ns[end]) + 1 + 1e-3


@settings(max_examples=150, deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_no_asker_starves(steps):
    world = play(steps)
    world.mode, world.profile = Mode.RUN, Constant(100.0)
    world.publish(new_profile=True)
    for asker in _ASKERS:
        world.add(asker, 3)
    world.go_on(LEAD_NS // MS_NS + 50, dealing=True)
    world.answers = False  # or an asker just served would want more
    wanted = sum(world.want.values())
    world.go_on(wanted * 10 + 400, dealing=True)
    assert not any(world.want.values()), "all are served"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(_ASKERS), min_size=1, max_size=3, unique=True),
    st.sampled_from([(1000, 250), (2000, 2)]),  # slots per deal: in a row, alternating
)
def test_slots_are_shared_evenly_among_those_that_ask(askers, rate_and_difference):
    rate, difference = rate_and_difference
    world = World()
    world.profile = Constant(float(rate))
    world.publish(new_profile=True)
    world.go_on(100, dealing=True)
    before = len(world.used)
    begun_ns = world.now_ns
    for asker in askers:
        world.add(asker, 3000)
    world.go_on(1000, dealing=True)
    passed = len(world.used) - before
    assert abs(passed - (world.now_ns - begun_ns) * rate // S_NS) <= 2
    shares = [3000 - world.want[asker] - len(world.held[asker]) for asker in askers]
    assert max(shares) - min(shares) <= difference


def test_a_stalled_dealer_catches_up_at_most_100_ms_of_slots():
    for rate, asleep_ms in ((1000, 2000), (2000, 1000)):
        world = World()
        world.profile = Constant(float(rate))
        world.publish(new_profile=True)
        world.add("a", 9000)
        world.go_on(200, dealing=True)
        world.go_on(asleep_ms, dealing=False)
        before = len(world.used)
        world.deal()
        world.use()
        assert len(world.used) - before == VOID_NS * rate // S_NS
        used = [slot for *_, epoch, slot in world.used if epoch == world.epoch]
        assert world.ledger.void == max(used) + 1 - len(used) > 0.7 * rate


def world_at_1000_per_s() -> World:
    """A world with a rate of 1,000/s in force and no asker."""
    world = World()
    world.profile = FAST
    world.publish(new_profile=True)
    world.go_on(100, dealing=True)
    return world


def test_slots_are_shared_evenly_at_a_low_rate():
    world = World()
    for asker in _ASKERS:
        world.add(asker, 3000)
    world.go_on(6000, dealing=True)
    shares = [3000 - world.want[asker] for asker in _ASKERS]
    assert len(world.used) == 61
    assert sum(shares) == 61 + sum(map(len, world.held.values()))
    assert max(shares) - min(shares) <= 1


def test_slots_a_lost_asker_may_have_used_are_not_dealt_again():
    world = world_at_1000_per_s()
    world.add("a", 1000)
    world.go_on(30, dealing=True)
    used = [slot for _, _, _, slot in world.used]
    assert len(used) > 20
    world.lose("a")
    world.add("b", 1000)
    world.go_on(150, dealing=True)
    slots = [slot for _, _, _, slot in world.used]
    assert len(slots) == len(set(slots))


def test_slots_voided_by_a_change_are_not_dealt_again_when_their_asker_is_lost():
    for lost_first in (True, False):
        world = world_at_1000_per_s()
        world.add("a", 1000)
        world.deal()
        if lost_first:
            world.lose("a")
        world.profile = TEN
        world.publish(new_profile=True)
        if not lost_first:
            world.lose("a")
        from_ns = world.changes[-1].from_ns
        world.add("b", 1000)
        world.deal()
        old = [due_ns for due_ns, epoch, _ in world.held["b"] if epoch < world.epoch]
        assert old
        assert max(old) < from_ns


def test_past_slots_of_a_lost_asker_are_not_credited_to_a_later_one():
    world = world_at_1000_per_s()
    world.add("a", 1000)
    world.deal()
    world.lose("a")
    world.go_on(60, dealing=True)
    world.add("b", 1000)
    world.deal()
    assert min(due_ns for due_ns, *_ in world.held["b"]) >= world.now_ns


def test_an_outdated_report_changes_nothing():
    world = world_at_1000_per_s()
    world.add("a", 10)
    world.deal()
    dealt = len(world.held["a"])
    world.ledger.want("a", 10, 0, world.now_ns, world.now_ns)
    world.deal()
    assert len(world.held["a"]) == dealt


def test_future_slots_of_a_lost_asker_are_dealt_again():
    world = world_at_1000_per_s()
    world.add("a", 1000)
    world.deal()
    world.deal()
    left = [one[2] for one in world.held["a"] if one[0] > world.now_ns]
    assert len(left) >= HORIZON_NS // MS_NS - 1
    world.lose("a")
    world.add("b", 1000)
    world.deal()
    assert {one[2] for one in world.held["b"]} >= set(left)
    assert len(world.held["b"]) == len({one[2] for one in world.held["b"]})


def test_a_repeated_report_asks_for_no_more_slots():
    world = World()
    world.profile = Constant(1000.0)
    world.publish(new_profile=True)
    world.go_on(100, dealing=True)
    world.ledger.want("a", 10, 0, world.now_ns, world.now_ns)
    dealt = world.ledger.deal(world.now_ns)
    assert sum(block.size for _, block in dealt) == 10
    world.ledger.want("a", 10, 0, world.now_ns, world.now_ns)  # sent before they arrived
    assert world.ledger.deal(world.now_ns) == []


@pytest.mark.parametrize(
    ("rate", "first", "stride"),
    [(2000, (0, 1), 2), (1000, (0, 250), 1), (200, (0, 50), 1), (50, (0, 1), 2)],
)
def test_at_moderate_rates_a_worker_gets_several_slots_in_a_row(rate, first, stride):
    one = SlotAllocator[str](Change(1, START_NS, Mode.RUN, Constant(rate), START_NS, S_NS))
    for asker in ("a", "b"):
        one.want(asker, 1000, 0, START_NS, START_NS)
    blocks = [block for _, block in one.deal(START_NS)][:2]
    assert tuple(block.first for block in blocks) == first
    assert {block.stride for block in blocks} == {stride}
    spacing_ns = S_NS // rate
    assert [block.due_ns for block in blocks] == [START_NS + k * spacing_ns for k in first]
    assert {block.spacing_ns for block in blocks} == {stride * spacing_ns}


# Widely spaced slots are dealt far ahead and can be asked back


def test_widely_spaced_slots_are_dealt_further_ahead():
    for rate, ahead in (
        (2000.0, 201),  # close together: 100 ms
        (1000.0, 501),  # each slot wakes a process: 500 ms
        (100.0, 51),
        (10.0, 33),  # 32 slots
        (1.0, 5),  # 4 s
        (0.1, 1),
    ):
        one = SlotAllocator[str](Change(1, START_NS, Mode.RUN, Constant(rate), START_NS, S_NS))
        one.want("a", 1000, 0, START_NS, START_NS)
        assert sum(block.size for _, block in one.deal(START_NS)) == ahead, rate
    steps = Steps((0, 350 * MS_NS), (10.0, 20.0))
    one = SlotAllocator[str](Change(1, START_NS, Mode.RUN, steps, START_NS, S_NS))
    one.want("a", 1000, 0, START_NS, START_NS)
    assert sum(block.size for _, block in one.deal(START_NS)) == 4


def test_unused_slots_are_laid_out_again_for_the_next_asker():
    world = World()
    world.add("a", 17)
    world.deal()
    world.go_on(450, dealing=True)
    before = world.used[-1]
    world.leave("a", START_NS + 500 * MS_NS)  # nobody uses the slot at 0.5 s
    world.go_on(100, dealing=True)
    assert world.used[-1] == before
    world.add("b", 2)
    world.deal()
    assert [(due_ns - START_NS) // MS_NS for due_ns, *_ in world.held["b"]] == [550, 650]
    assert [slot for *_, slot in world.held["b"]] == [5, 6], "they were nobody's"


def test_slots_given_back_go_to_waiting_askers_at_their_due_times():
    world = World()
    world.answers = False
    for asker in ("a", "b"):
        world.add(asker, 100)
    world.deal()
    world.go_on(250, dealing=True)
    world.leave("a")
    world.go_on(3000, dealing=True)
    slots = [slot for *_, slot in world.used]
    assert slots == list(range(len(slots)))
    assert len(slots) == 33
    assert world.ledger.void == 0


def test_slots_given_back_go_to_askers_that_hold_later_ones():
    world = World()
    for asker in ("a", "b"):
        world.add(asker, 16)
    world.deal()
    world.go_on(250, dealing=True)
    world.leave("a")
    world.go_on(2000, dealing=True)
    slots = [slot for *_, slot in world.used]
    assert slots == list(range(23))


def test_a_late_asker_gets_a_share_of_slots_dealt_far_ahead():
    world = World()
    world.add("a", 100)
    world.deal()
    world.go_on(300, dealing=True)
    world.add("b", 4)
    world.go_on(10, dealing=True)
    mine = [(due_ns - world.now_ns) // MS_NS for due_ns, *_ in world.held["b"]]
    assert len(mine) == 4
    assert mine[0] <= 200
    assert mine[-1] <= 900, "they take turns"
    world.go_on(3000, dealing=True)
    slots = [slot for *_, slot in world.used]
    assert slots == list(range(len(slots)))


def record_asked(monkeypatch, world: World) -> list[str]:
    """Record the askers that are asked to give slots back from now on."""
    asked: list[str] = []
    ask_back = world.ledger.ask_back

    def noting(now_ns: int) -> list[str]:
        found = ask_back(now_ns)
        asked.extend(found)
        return found

    monkeypatch.setattr(world.ledger, "ask_back", noting)
    return asked


def add_askers(world: World, size: int, wanted: int) -> None:
    """Add `size` askers that want `wanted` slots each."""
    for asker in map(str, range(size)):
        world.want[asker] = world.seen[asker] = 0
        world.held[asker], world.sent[asker] = [], []
        world.add(asker, wanted)


def test_scarce_slots_are_not_asked_back_for_askers_without_any(monkeypatch):
    world = World()
    asked = record_asked(monkeypatch, world)
    add_askers(world, 64, 9)
    world.go_on(3000, dealing=True)
    assert not asked
    assert [slot for *_, slot in world.used] == list(range(len(world.used)))
    assert {*world.used_by.values()} == {1}, "they take turns"


def test_slots_are_asked_back_again_once_they_are_not_scarce(monkeypatch):
    world = World()
    asked = record_asked(monkeypatch, world)
    add_askers(world, 64, 1)
    world.go_on(500, dealing=True)
    for asker, wanted in world.want.items():
        if wanted:
            world.want[asker] = 0
            world.report(asker)
    assert not asked
    world.add("a", 1)
    world.go_on(100, dealing=True)
    assert asked
    assert len(asked) == len({*asked}), "once"
    assert world.held["a"]


def test_handling_a_report_examines_few_other_accounts(monkeypatch):
    looked = []
    has_later = SlotAllocator.has_later

    def noting(allocator: SlotAllocator[int], account: Account, now_ns: int) -> bool:
        looked.append(account)
        return has_later(allocator, account, now_ns)

    monkeypatch.setattr(SlotAllocator, "has_later", noting)
    ledger = SlotAllocator[int](Change(1, START_NS, Mode.RUN, TEN, START_NS, S_NS))
    for now_ns in range(START_NS, START_NS + S_NS, 250 * MS_NS):
        for asker in range(300):
            ledger.want(asker, 9, 0, START_NS, now_ns)
        ledger.deal(now_ns)
        looked.clear()
        due = [ledger.next_ns(now_ns) for _ in range(300)]
        assert due[0] == due[-1]
        assert len(looked) <= 600, "none of them looks through all"


def test_an_asker_that_gives_nothing_back_delays_others_only_briefly():
    world = World()
    world.answers = False
    world.add("a", 100)
    world.deal()
    world.go_on(300, dealing=True)
    world.add("b", 4)
    assert world.ledger.ask_back(world.now_ns) == ["a"]
    assert world.ledger.ask_back(world.now_ns) == [], "once"
    world.deal()
    assert not world.held["b"]
    world.now_ns = world.ledger.next_ns(world.now_ns)
    assert world.now_ns <= START_NS + 300 * MS_NS + ASK_BACK_NS
    assert world.ledger.ask_back(world.now_ns) == [], "who has not answered is not asked again"
    world.deal()
    assert world.held["b"]
    world.ledger.lost("a", world.now_ns)
    world.deal()
    assert len(world.held["b"]) == 4
