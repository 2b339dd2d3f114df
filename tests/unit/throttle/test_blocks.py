"""Blocks of slots, and their allocation to workers."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.throttle.blocks import Block
from amoc.throttle.permit_allocator import Permits
from amoc.throttle.profiles import NEVER_NS, Constant, Steps
from amoc.throttle.slot_allocator import VOID_NS, SlotAllocator
from amoc.throttle.slot_schedule import Change, Mode
from tests.unit.throttle.support import size_of

START_NS = 10**15


def block(size: int, *, spacing_ns: float = 10.0) -> Block:
    return Block(1, 1, first=100, stride=3, size=size, due_ns=1000, spacing_ns=spacing_ns)


def test_slots_of_a_block_are_evenly_spaced_and_never_early():
    assert [block(4).due_at(index) for index in range(4)] == [1000, 1010, 1020, 1030]
    assert block(3, spacing_ns=0.4).due_at(1) == 1001


def test_the_first_slot_from_a_time_on():
    found = {t_ns: block(4).first_from(t_ns) for t_ns in (0, 1000, 1001, 1010, 1011, 1030, 1031)}
    assert found == {0: 0, 1000: 0, 1001: 1, 1010: 1, 1011: 2, 1030: 3, 1031: 4}
    assert [block(1).first_from(t_ns) for t_ns in (1000, 1001)] == [0, 1]
    assert block(1, spacing_ns=inf).first_from(1001) == 1


@given(st.integers(1, 50), st.floats(0.3, 1e7), st.integers(-10, 10**9))
def test_first_from_matches_the_due_times(size, spacing_ns, after_ns):
    one = block(size, spacing_ns=spacing_ns)
    t_ns = one.due_ns + after_ns
    assert one.first_from(t_ns) == sum(one.due_at(index) < t_ns for index in range(size))


def test_a_part_of_a_block_keeps_slot_numbers_and_times():
    part = block(10).part(4, 7)
    assert part == block(10)._replace(first=112, size=3, due_ns=1040)
    assert block(10).part(0, 10) == block(10)


def ledger(rate: float = 1000.0) -> SlotAllocator[str]:
    return SlotAllocator(Change(1, START_NS, Mode.RUN, Constant(rate), START_NS, S_NS))


def test_slots_in_transit_count_against_demand():
    one = ledger()
    one.want("a", 10, 0, START_NS, START_NS)
    assert sum(found.size for _, found in one.deal(START_NS)) == 10
    assert one.next_ns(START_NS) == NEVER_NS
    one.want("a", 10, 0, START_NS, START_NS)  # sent before they arrived
    assert one.deal(START_NS) == []
    one.want("a", 12, 0, START_NS, START_NS)
    ((_, more),) = one.deal(START_NS)
    assert (more.number, more.size) == (2, 2)
    one.want("a", 3, 1, START_NS, START_NS)  # the second is still in transit
    assert [found.size for _, found in one.deal(START_NS)] == [1]
    one.want("a", 3, 9, START_NS, START_NS)  # a block that never existed
    assert one.deal(START_NS) == []


def test_a_timely_report_gets_the_slots_since_the_wait_began():
    for late_ns, first_ns in (
        (30 * MS_NS, S_NS),
        (VOID_NS, S_NS),
        (VOID_NS + 5 * MS_NS, S_NS + 5 * MS_NS),
    ):
        one = ledger(100)
        one.want("a", 50, 0, START_NS + S_NS, START_NS + S_NS + late_ns)
        dealt = one.deal(START_NS + S_NS + late_ns)
        assert dealt[0][1].due_ns == START_NS + first_ns
        assert one.void == 0


def test_an_idle_throttle_forgets_past_changes():
    one, sizes = ledger(), []
    for number in range(1, 500):
        at_ns = START_NS + number * S_NS
        change = Change(number + 1, at_ns, Mode.RUN, Constant(1.0 + number), START_NS, S_NS)
        one.change(change, at_ns)
        sizes.append(size_of(one))
    assert sizes[-1] < sizes[20] + 50
    at_ns = START_NS + 500 * S_NS
    one.want("a", 1, 0, at_ns, at_ns)
    ((_, found),) = one.deal(at_ns)
    assert (found.epoch, found.due_ns) == (500, at_ns)


def test_a_change_rewinds_slots_dealt_beyond_it():
    steps = Steps((0, 60 * MS_NS), (1000.0, 10.0))
    one: SlotAllocator[str] = SlotAllocator(Change(1, START_NS, Mode.RUN, steps, START_NS, S_NS))
    one.want("a", 1000, 0, START_NS, START_NS)
    one.deal(START_NS)  # 100 ms ahead, into the second step
    at_ns = START_NS + 40 * MS_NS
    one.change(Change(2, at_ns, Mode.RUN, Constant(100.0), START_NS, S_NS), START_NS)
    ((_, found),) = one.deal(START_NS)
    assert (found.epoch, found.first, found.due_ns) == (2, 0, at_ns)
    assert found.spacing_ns == 10 * MS_NS


def permits(count: float) -> Permits[str]:
    return Permits(Change(1, START_NS, Mode.RUN, Constant(count), START_NS, 0))


def sizes(one: Permits[str]) -> dict[str, int]:
    return {asker: grant.size for asker, grant in one.deal(START_NS)}


def test_permits_are_dealt_round_robin():
    one = permits(2)
    for asker in "abc":
        one.want(asker, 5, 0, 0)
    assert sizes(one) == {"a": 1, "b": 1}
    one.want("a", 4, 1, 1)
    assert sizes(one) == {"c": 1}
    one.want("b", 4, 1, 1)
    assert sizes(one) == {"a": 1}
    one.want("c", 4, 1, 1)
    assert sizes(one) == {"b": 1}


def test_permits_are_shared_evenly_as_far_as_demand_allows():
    one = permits(10)
    for asker, count in (("a", 1), ("b", 9), ("c", 9)):
        one.want(asker, count, 0, 0)
    found = sizes(one)
    assert (found["a"], found["b"] + found["c"]) == (1, 9)
    assert abs(found["b"] - found["c"]) == 1
    assert one.held == 10
    assert sizes(one) == {}


def test_fractional_permits_are_rounded_down():
    one = permits(2.9)
    one.want("a", 5, 0, 0)
    assert sizes(one) == {"a": 2}
    one = permits(0.9)
    one.want("a", 5, 0, 0)
    assert sizes(one) == {}
    one = permits(inf)
    one.want("a", 5, 0, 0)
    assert sizes(one) == {"a": 5}


def test_inconsistent_reports_of_permits_are_ignored():
    one = permits(3)
    one.want("a", 2, 0, 7)
    assert sizes(one) == {"a": 2}
    one.want("a", 2, 1, 99)
    assert one.held == 0
    assert sizes(one) == {"a": 2}
    one.want("a", 9, 0, 99)  # older than its previous report
    assert sizes(one) == {}
    one.want("a", 9, 3, 99)  # a grant that never existed
    assert sizes(one) == {}
    assert one.held == 2
    one.want("a", 9, 2, 1)  # fewer than reported before
    assert one.held == 2


def test_dealing_is_due_only_while_a_permit_is_free():
    one = permits(1)
    assert one.next_ns(START_NS) == NEVER_NS
    one.want("a", 2, 0, 0)
    assert one.next_ns(START_NS) == START_NS
    assert sizes(one) == {"a": 1}
    assert one.next_ns(START_NS) == NEVER_NS
