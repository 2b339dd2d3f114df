"""Similar events are merged into one row with a count and no user-specific numbers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import S_NS
from amoc.base.operator_log import OperatorLog
from amoc.results.report import run_annotations
from amoc.results.report.event_dedup import Deduplication
from amoc.runtime.logs.operator_feed import OperatorFeed


def event(t_s: float, text: str, level: str = "warning") -> dict[str, Any]:
    return {"t_s": t_s, "at": "", "kind": "event", "level": level, "text": text}


def rows(*entries: dict[str, Any]) -> list[run_annotations.Annotation]:
    found, _ = run_annotations.collect(entries, run_annotations.Interruptions())
    return found


STORM = [
    event(1.0, "status 500 for user 5 (web, user 5)"),
    event(1.5, "status 500 for user 6 (web, user 6)"),
    event(2.0, "status 500 for user # (web, 1,200 more)"),
    event(45.0, "status 500 for user 7 (web)"),
]


def test_log_lines_that_differ_only_in_numbers_are_one_row_and_one_mark():
    (row,) = rows(*STORM)
    assert (row.t_s, row.number, row.count) == (1.0, 1, 1203)
    assert row.text_with_count == "status 500 for user # (web) – 1,203 times until 0:45"
    assert [mark["t"] for mark in run_annotations.for_charts([row])] == [1.0]


def test_a_number_common_to_all_lines_is_kept():
    (row,) = rows(*STORM)
    assert "status 500" in row.text
    (row,) = rows(*STORM, event(50.0, "status 503 for user 7 (web)"))
    assert row.text == "status # for user # (web)"


@pytest.mark.parametrize(
    "other",
    [
        event(3.0, "status 500 for user 5 (shop)"),
        event(3.0, "status 500 for user 5 (web)", level="error"),
        event(3.0, "no answer for user 5 (web)"),
    ],
)
def test_lines_with_another_logger_level_or_text_are_not_merged(other):
    assert [row.number for row in rows(*STORM, other)] == [1, 2]


def test_a_single_line_has_no_count():
    (row,) = rows(event(1.0, "status 500 for user 5 (web, user 5)"))
    assert row.text_with_count == "status 500 for user 5 (web)"


def test_lost_workers_are_never_merged():
    lost = "worker 0 was killed by SIGKILL; its metrics are kept"
    found = rows(event(1.0, lost, "error"), event(2.0, lost, "error"))
    assert [(row.number, row.count) for row in found] == [(1, 1), (2, 1)]


def test_warnings_about_different_workers_stay_apart_and_the_same_one_is_counted():
    late = "worker {} of node0: its loop turned up to {} s late"
    found = rows(
        *(event(t, late.format(worker, lag)) for t, worker, lag in ((1, 0, 2), (2, 1, 2))),
        event(3.0, late.format(0, 2)),
    )
    assert [(row.text, row.count) for row in found] == [
        (late.format(0, 2), 2),
        (late.format(1, 2), 1),
    ]


def test_commands_and_trailing_parentheses_are_not_merged():
    command = {"t_s": 1.0, "kind": "command", "name": "note", "outcome": "ok", "comment": "x"}
    stuck = "2 users had to be removed (--stop-timeout)"
    found = rows(command, command, event(2.0, stuck, "error"), event(3.0, stuck, "error"))
    assert [row.number for row in found] == [1, 2, 3, 4]
    assert found[2].text == stuck


def test_suppressed_warnings_are_counted_together():
    feed, told = OperatorFeed(), []
    feed.operator = OperatorLog(lambda level, text: told.append(event(1.0, text, level)))
    for second in range(3):
        for number in range(5):
            feed.show(logging.WARNING, f"{'abcde'[number]} (web)", "", 1, second * S_NS)
    feed.tick(3 * S_NS)
    untold = [row for row in rows(*told) if "more warnings" in row.text]
    assert [row.count for row in untold] == [6]
    assert untold[0].text == "more warnings: see the logs in the run's directory"


@given(st.lists(st.text(max_size=12), max_size=20))
def test_no_event_is_lost(texts):
    entries = [event(float(at), f"{text} (web)") for at, text in enumerate(texts)]
    assert sum(one.count for one in Deduplication(entries).events) == len(texts)
