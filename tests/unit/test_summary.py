"""The summary for people: all that was counted is shown, whatever its size and its letters."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from amoc.board import Merge, UserState
from amoc.figures import BUILT_IN_TIMERS, Figures
from amoc.messages import Sample, WorkerFigures
from amoc.view.summary import MOST_CAUSES, print_summary

RUN = {
    "id": "20260101T000000-abcd",
    "scenario": "chat",
    "seed": 42,
    "comment": "",
    "duration_s": 12.5,
    "verdict": "ok",
    "directory": "amoc-runs/x",
    "exit_code": 0,
}


def summary(run=RUN, **parts):
    figures = Figures()
    worker = WorkerFigures(
        0, 3, 4711, 1, 2, 0, 0, 25 * 10**9, 0, 200 << 20, 0.0015, 0.0, 0.0, 0, 0, 0, 0, 0
    )
    sample = Sample(
        sequence=1,
        at_ns=1,
        users=parts.get("users", {UserState.FINISHED: 1234}),
        users_peak=2,
        counters=parts.get("counters", {}),
        gauges=parts.get("gauges", {}),
        timers=parts.get("timers", {}),
        crashes=parts.get("crashes", {}),
        workers=[tuple(worker)],
        host=(),
    )
    figures.take("node0", sample)
    return figures.summary(run)


def shown(summary, width=160, terminal=False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal)
    print_summary(console, summary)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return line.removeprefix(name).split()


def test_users_counters_gauges_timers_and_workers_are_shown_with_their_figures():
    text = shown(
        summary(
            counters={"sent": 12_500},
            gauges={"queue": (Merge.MAX, [3.25])},
            timers={"ttd": (2_000_000, [240, 10])},
        )
    )
    assert "20260101T000000-abcd" in text
    assert "12.5 s" in text
    assert row(text, "sent") == ["12,500", "1,000.0"]
    assert row(text, "queue") == ["3.25"]
    assert row(text, "ttd")[0] == "10"
    assert row(text, "ttd")[-2:] == ["2", "ms"]
    assert re.search(r"^node0/0 .*\b2 +2 +200% +200 MiB +1\.5 ms", text, re.MULTILINE)
    assert "1,234" in text


def test_an_empty_run_is_shown_without_empty_tables():
    text = shown(summary(users={}))
    for heading in ("counters", "gauges", "timers", "crashes by cause"):
        assert heading not in text


def test_a_run_of_no_time_divides_by_nothing():
    text = shown(summary(run={**RUN, "duration_s": 0.0}, counters={"sent": 5}))
    assert row(text, "sent") == ["5"]


def test_causes_beyond_the_most_frequent_are_one_line_with_their_sum():
    crashes = {
        f"ValueError: {letter}": 100 - number for number, letter in enumerate("abcdefghijklmno")
    }
    text = shown(summary(crashes=crashes))
    assert row(text, "ValueError: a") == ["100"]
    rest = sum(sorted(crashes.values())[:-MOST_CAUSES])
    assert re.search(rf"5 other causes \(--json has all\) +{rest}\b", text)
    assert text.count("ValueError") == MOST_CAUSES


@pytest.mark.parametrize(
    "cause", ["KeyError: [red]x[/red]", "ValueError: [/]", "X: :smile: [link=a]"]
)
def test_a_cause_is_shown_as_it_is_and_not_read_as_markup(cause):
    assert cause in shown(summary(crashes={cause: 1}))


def test_amocs_own_timers_are_not_shown_among_those_of_the_target():
    text = shown(summary(timers=dict.fromkeys([*BUILT_IN_TIMERS, "ttd"], (1000, [240, 1]))))
    assert row(text, "ttd")
    assert not [name for name in BUILT_IN_TIMERS if re.search(rf"^{name}", text, re.MULTILINE)]


def test_every_crash_and_the_verdict_are_bold_red_on_a_terminal():
    text = shown(summary(run={**RUN, "verdict": "failed"}, crashes={"x": 7}), terminal=True)
    assert re.search(r"\x1b\[1;31mfailed", text)
    assert re.search(r"\x1b\[1;31m *7", text)


def test_a_narrow_terminal_shows_the_figures_all_the_same():
    text = shown(summary(counters={"a_rather_long_name_of_a_counter" * 3: 123_456}), width=60)
    assert "123,456" in text
