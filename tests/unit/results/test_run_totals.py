"""Parts that do not overlap, added up once, are what adding each point to each sum would give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.board import Kind
from amoc.results.run_totals import AT_ONCE, Adding, RunTotals, together
from amoc.results.series import Point, Tally, Window
from tests.unit.results import runs

MADE = runs.points(2 * AT_ONCE + 7, stall=range(20, 22))


def bare(tally: Tally) -> dict:
    """`tally` without the durations of its first and last point, which no sum needs."""
    ends = {
        name: one and replace(one, timers={})
        for name, one in (("first", tally.first), ("last", tally.last))
    }
    return {**vars(tally), **ends}


def in_states(states: list[str]) -> list[Point]:
    return [
        replace(point, state=state, active_s=1.0 if state == "running" else 0.0)
        for point, state in zip(MADE, states, strict=False)
    ]


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, len(MADE)])
def test_adding_many_points_at_once_loses_none(count):
    adding = Adding()
    for point in MADE[:count]:
        adding.add(point)
    assert bare(adding.tally) == bare(Tally.of(MADE[:count]))


def test_a_sum_that_was_looked_at_can_be_added_to():
    adding = Adding()
    for point in MADE:
        adding.add(point)
        assert adding.tally.timers["message_ttd"].count > 0
    assert bare(adding.tally) == bare(Tally.of(MADE))


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["running", "running", "paused", "stopping"]), max_size=len(MADE)),
    st.sampled_from([0.0, 3.0, 3.5, 1000.0]),
)
def test_whole_and_window_are_those_of_the_points_in_any_order_of_states(states, warmup_s):
    points = in_states(states)
    totals, window = RunTotals.of(points, warmup_s), Window.of(points, warmup_s)
    assert bare(totals.whole) == bare(Tally.of(points))
    assert bare(totals.window.all) == bare(window.all)
    assert bare(totals.window.running) == bare(window.running)


def test_together_leaves_its_parts_as_they_are():
    parts = [Tally.of(MADE[:10]), Tally.of(MADE[10:20])]
    assert bare(together(parts)) == bare(Tally.of(MADE[:20]))
    assert bare(together(reversed(parts))) == bare(Tally.of(MADE[:20]))
    assert parts == [Tally.of(MADE[:10]), Tally.of(MADE[10:20])]
    assert together([]) == Tally()


def test_metrics_are_known_by_their_kind_also_those_that_only_the_warm_up_had():
    points = [replace(MADE[0], counters={"early": 0}), *MADE[1:20]]
    known = RunTotals.of(points, 10.0).known
    assert (known["early"], known["connected"]) == (Kind.COUNTER, Kind.GAUGE)
    assert known["message_ttd"] is Kind.TIMER
