"""Reports that no genuine node would send are refused before use."""

from __future__ import annotations

import pytest

from amoc.base.errors import PeerError
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.lifecycle import Failed, Loaded, Note, Terminated, WorkerLost, WorkerUp
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import (
    Blocked,
    CrashSeen,
    FailureSeen,
    Started,
    Stopped,
    TargetSeen,
    UsersNow,
)
from amoc.metrics.health_figures import NODE, WorkerPoint, sent_figures
from amoc.metrics.throttle_counts import COUNTS
from amoc.runtime.controller.node_reports import check

WORKERS, HIGHEST = range(2, 4), 100
LOADED = Loaded("x", "", [], (50.0, None), 2, 1, 1024, [])
FIGURES = sent_figures(WorkerPoint("", 2))
SAMPLE = Sample(
    *(
        1,
        5,
        {1: 2},
        0,
        {"a": 1},
        {"g": (0, 0.5, 1)},
        (),
        {"c": 1},
        {"t": [0] * len(COUNTS)},
        {"t": 3},
    ),
    *([FIGURES], [0] * len(NODE), [(90, 11)], 2, [1, 0]),
)

FAIR = (
    WorkerUp(3, 1, 77, [5], [100]),
    WorkerLost(2, 1, "why", 3),
    Started(2, 0),
    CrashSeen(2, "cause", "", 1),
    FailureSeen(3, "step", "cause", "", 0),
    TargetSeen(3, "http://127.0.0.1:8080"),
    Blocked(3, "place", 1, 1, 1, ""),
    Envelope.of(Part.CONTROL, 2, 1, b""),
    Envelope.of(Part.MAIL, 9, 0, b""),
    SAMPLE,
    SAMPLE._replace(workers=[], together=[(0, *FIGURES[1:])] * 2),
    UsersNow(1, 5, {}, [0, 3], [100, 9], 2),
    Stopped(0, [4], 0),
    LOADED,
    Failed(8, "why"),
    Note("warning", "text"),
    Terminated(""),
)
UNFAIR = (
    WorkerUp(4, 1, 77, [], []),
    WorkerUp(2.0, 1, 77, [], []),
    WorkerUp(True, 1, 77, [], []),
    WorkerUp(2, 0, 77, [], []),
    WorkerUp(2, 1, 77, [0], []),
    WorkerUp(2, 1, 77, [], [101]),
    WorkerUp(2, 1, 77, 5, []),
    WorkerLost(1, 1, "why"),
    WorkerLost(2, 1, "why", -1),
    Started(4, 1),
    Started(2, -1),
    Started(2, "many"),
    CrashSeen(-1, "cause", "", 1),
    TargetSeen(4, "http://127.0.0.1:8080"),
    TargetSeen(3, 8080),
    Envelope.of(Part.CONTROL, 4, 1, b""),
    Envelope(b""),
    SAMPLE._replace(sequence=0),
    SAMPLE._replace(workers=[(4, *FIGURES[1:])]),
    SAMPLE._replace(workers=[()]),
    SAMPLE._replace(workers=[(2,)]),
    SAMPLE._replace(workers=[(2, *FIGURES[1:])] * 3),
    SAMPLE._replace(workers=[(2, "many", *FIGURES[2:])]),
    SAMPLE._replace(together=[(0, *FIGURES[1:])]),
    SAMPLE._replace(together=[(0, None, *FIGURES[2:])] * 2),
    SAMPLE._replace(host=[0]),
    SAMPLE._replace(host=["much", *[0] * (len(NODE) - 1)]),
    SAMPLE._replace(users={1: "many"}),
    SAMPLE._replace(users={"one": 1}),
    SAMPLE._replace(users_peak="many"),
    SAMPLE._replace(restarted=-1),
    SAMPLE._replace(timers="many"),
    SAMPLE._replace(counters={"a": 0.5}),
    SAMPLE._replace(counters=[1]),
    SAMPLE._replace(gauges={"g": (0, "high", 1)}),
    SAMPLE._replace(crashes={"c": None}),
    SAMPLE._replace(throttles={"t": ["1"] * len(COUNTS)}),
    SAMPLE._replace(throttles={"t": [1]}),
    SAMPLE._replace(waiting={"t": [3]}),
    SAMPLE._replace(first=4),
    SAMPLE._replace(alive=[0, -1]),
    SAMPLE._replace(gone=[(1, 1 << 40)]),
    SAMPLE._replace(gone=[(90, 12)]),
    SAMPLE._replace(gone=[(0, 1)]),
    SAMPLE._replace(gone=[(1, 0)]),
    UsersNow(1, 5, {}, [0]),
    UsersNow(1, 5, {}, [0, -1]),
    UsersNow(1, 5, {}, [0, 0], [101]),
    Stopped(-1, [], 0),
    Stopped(0, ["all"], 0),
    LOADED._replace(workers=1 << 40),
    LOADED._replace(workers=0),
    LOADED._replace(cores="many"),
    Failed(4711, "why"),
    Note("loud", "text"),
    Terminated(5),
)


@pytest.mark.parametrize("record", FAIR, ids=str)
def test_valid_reports_are_accepted(record):
    check(record, WORKERS, HIGHEST)


@pytest.mark.parametrize("record", UNFAIR, ids=str)
def test_invalid_reports_are_refused(record):
    with pytest.raises((PeerError, TypeError, ValueError)):
        check(record, WORKERS, HIGHEST)


def test_worker_numbers_count_from_0_before_a_node_is_ready():
    early = SAMPLE._replace(workers=[(0, *FIGURES[1:])], gone=[], first=0)
    check(early, WORKERS, HIGHEST, is_ready=False)
    with pytest.raises(PeerError, match="its workers are 2 to 3, got worker 0"):
        check(early, WORKERS, HIGHEST)
