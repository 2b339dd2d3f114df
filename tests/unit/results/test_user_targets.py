"""Whether stages reached their user targets, and the notes when they did not."""

from __future__ import annotations

import pytest

from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.scenario.load_profile import Stages


def notes(stages: str, running: list[int], **users: int) -> list[str]:
    points = [
        Point(float(second), 1.0, users={"running": count, **users})
        for second, count in enumerate(running, 1)
    ]
    return RunTotals.of(points, stages=Stages.parse(stages)).notes()


@pytest.mark.parametrize(
    ("running", "most"),
    [
        ([25, 50, 75, 100, 100, 100, 100], None),
        ([25, 50, 75, 99, 99, 99, 99], None),  # one is still starting
        ([25, 50, 75, 76, 98, 100, 100], None),  # a second late is as far as anybody looked
        ([25, 50, 75, 80, 80, 80, 80], 80),
        ([0] * 7, 0),
    ],
)
def test_a_stage_that_missed_its_target_is_noted(running, most):
    found = notes("4s:100, 1h:100", running)
    lacking = [] if most is None else [f"the stage ending at 4 s reached {most} of 100 users"]
    assert found == lacking


def test_a_falling_stage_with_too_few_users_is_noted_and_one_with_too_many_is_not():
    assert notes("0s:20, 2s:20, 2s:10, 2s:10", [20, 20, 15, 12, 11, 11]) == []
    few = notes("0s:20, 2s:20, 2s:10, 4s:10", [20, 20, 8, 4, 4, 4, 4, 4])
    assert few == [
        "the stage ending at 4 s reached 4 of 10 users",
        "the stage ending at 8 s reached 4 of 10 users",
    ]


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.4, 0.6, 0.8])
def test_a_peak_between_two_counts_counts_as_reached(shift):
    stages = Stages.parse("4s:400, 4s:0")
    spans = [shift or 1.0, *[1.0] * 8]
    ends = [sum(spans[: n + 1]) for n in range(len(spans))]
    points = [
        Point(end, span, users={"running": int(stages.value_at(min(end, 8.0)))})
        for end, span in zip(ends, spans, strict=True)
    ]
    assert RunTotals.of(points, stages=stages).notes() == []


def test_an_unfinished_stage_causes_no_note():
    assert notes("10s:100", [1, 2, 3]) == []
    assert notes("10s:100, 10s:100", [1] * 9) == []
    assert notes("2s:0, 1s:0", [0, 0, 0]) == []


def test_pauses_do_not_count_as_stage_time():
    points = [
        Point(1.0, 1.0, users={"running": 5}),
        *(Point(2.0 + number, 1.0, state="paused", users={"running": 5}) for number in range(9)),
        *(Point(11.0 + number, 1.0, users={"running": 10}) for number in range(2)),
    ]
    assert RunTotals.of(points, stages=Stages.parse("2s:10, 1h:10")).notes() == []


def test_users_that_never_started_are_noted():
    assert notes("1h:0", [61], started=61, waiting=939) == [
        "939 of 1,000 users had not started when the run ended"
    ]


def test_users_leaving_as_the_run_ends_count_for_the_last_stage():
    points = [Point(n + 0.2, 1.0, users={"running": 9}) for n in range(1, 4)]
    ended = Point(4.2, 1.0, 0.8, state="stopping", users={"running": 0})
    assert RunTotals.of([*points, ended], stages=Stages.parse("1s:9, 2.9s:9")).notes() == []
    few = [Point(n + 0.2, 1.0, users={"running": 3}) for n in range(1, 4)]
    (note, *_) = reversed(RunTotals.of([*few, ended], stages=Stages.parse("1s:9, 2.9s:9")).notes())
    assert note.endswith("reached 3 of 9 users")
