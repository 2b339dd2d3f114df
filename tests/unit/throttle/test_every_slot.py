"""If every slot counts, as with an arrival rate, each is dealt or known to be void."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.base.errors import ScenarioError
from amoc.throttle.blocks import Block
from amoc.throttle.profiles import Constant, Line, Profile, Ramps
from amoc.throttle.slot_allocator import SlotAllocator
from amoc.throttle.slot_schedule import Change, Mode
from amoc.throttle.throttle import LEAD_NS, Throttle

START_NS = 10**15
RATES = st.integers(0, 3_000).map(float)
"""Per second: widely spaced, closely spaced and no slots."""


def change(epoch: int, from_ns: int, profile: Profile, mode: Mode = Mode.RUN) -> Change:
    return Change(epoch, from_ns, mode, profile, from_ns, S_NS)


class Book:
    """An allocator with a clock, and askers that use their slots without delay."""

    def __init__(self, rate: float) -> None:
        self.now_ns = START_NS
        self.slots = SlotAllocator[str](change(1, START_NS, Constant(rate)), every=True)
        self.ends_ns = {1: 1 << 62}  # end of each epoch
        self.seen = {"a": 0, "b": 0}
        self.dealt: list[Block] = []

    def want(self, asker: str, outstanding: int) -> None:
        self.slots.want(asker, outstanding, self.seen[asker], self.now_ns, self.now_ns)
        self.deal()

    def deal(self) -> None:
        for asker, block in self.slots.deal(self.now_ns):
            self.seen[asker] = block.number
            self.dealt.append(block)

    def change(self, rate: float, mode: Mode = Mode.RUN) -> None:
        epoch, from_ns = max(self.ends_ns) + 1, self.now_ns + LEAD_NS
        self.ends_ns[epoch - 1], self.ends_ns[epoch] = from_ns, 1 << 62
        self.slots.change(change(epoch, from_ns, Constant(rate), mode), self.now_ns)
        self.now_ns = from_ns  # changes follow one another

    def used(self, until_ns: int) -> list[tuple[int, int]]:
        """Return the dealt slots that no change has voided."""
        return [
            (block.epoch, block.first + index * block.stride)
            for block in self.dealt
            for index in range(block.size)
            if block.due_at(index) < min(until_ns, self.ends_ns[block.epoch])
        ]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("later"), st.integers(0, 900)),
        st.tuples(st.sampled_from("ab"), st.integers(0, 500)),
        st.tuples(st.just("change"), st.integers(0, 3_000)),
    ),
    max_size=25,
)


@given(RATES, ACTS)
def test_dealt_and_void_slots_add_up_to_those_due(rate, acts):
    book = Book(rate)
    for what, number in acts:
        match what:
            case "later":
                book.now_ns += number * MS_NS
                book.deal()
            case "change":
                book.change(float(number))
            case asker:
                book.want(asker, number)
    book.change(0.0, Mode.HELD)  # as at the end of a run
    until_ns = book.now_ns
    due = book.slots.due_before(until_ns)
    used = book.used(until_ns)
    assert len(used) == len(set(used)), "none is dealt twice"
    assert len(used) + book.slots.void == due


@given(st.integers(1, 20_000), st.integers(1, 5_000))
def test_without_askers_the_slots_due_match_the_rate(rate, length_ms):
    book = Book(float(rate))
    until_ns = START_NS + length_ms * MS_NS
    due = book.slots.due_before(until_ns)
    assert due == book.slots.void
    assert due == ceil(rate * length_ms / 1000) or abs(due - rate * length_ms / 1000) < 1e-6


def test_a_ramp_yields_its_area_even_after_the_past_is_forgotten():
    ramp = Ramps((Line(0, 10 * S_NS, 0.0, 1_000.0),))
    one = SlotAllocator[str](change(1, START_NS, ramp), every=True)
    for second in range(12):
        one.skip_void(START_NS + second * S_NS)
    assert one.due_before(START_NS + 10 * S_NS) == pytest.approx(5_000, abs=1)
    assert one.due_before(START_NS + 12 * S_NS) == pytest.approx(7_000, abs=1)


def test_a_throttle_ends_exactly_at_the_given_time():
    one = Throttle[str]("arrival_rate", Constant(0.0), 1.0, 1, START_NS, every=True)
    one.change_profile(Constant(200.0), 1.0, START_NS)
    begun_ns = one.changed_ns
    end_ns = begun_ns + 10 * S_NS
    one.end(end_ns, end_ns - 60 * MS_NS)
    assert one.changed_ns == end_ns
    assert one.due == 2_000
    assert one.untaken == 0, "not told yet"
    one.take(end_ns + S_NS)
    assert one.untaken == 2_000
    assert one.state(end_ns).missed == 0, "nothing was late"


def test_an_arrival_rate_is_finite_and_never_unlocked():
    one = Throttle[str]("arrival_rate", Constant(5.0), 1.0, 1, START_NS, every=True)
    with pytest.raises(ScenarioError, match="throttle arrival_rate starts iterations"):
        one.unlock(START_NS)
    for interval_s, rate in ((1.0, float("inf")), (0.0, 5.0)):
        with pytest.raises(ScenarioError, match="must have a rate"):
            one.change_profile(Constant(rate), interval_s, START_NS)
