"""The printed summary: every value counted is shown, whatever its size and characters."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from amoc.cli.view.metric_tables import MAX_METRICS
from amoc.cli.view.summary import MAX_CAUSES, print_summary
from amoc.ipc.messages.samples import Sample
from amoc.metrics import reserved
from amoc.metrics.area import Merge
from amoc.metrics.board import UserState
from amoc.metrics.health_figures import WorkerPoint, sent_figures
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.results.journal_facts import JournalFacts
from amoc.results.merge import SampleMerger
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally, ThrottlePoint
from amoc.results.summary import make, window_of
from tests.unit.results import runs

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
    worker = WorkerPoint(
        "", 0, 3, 1, users_peak=2, cpu_s=25.0, max_rss_bytes=200 << 20, loop_lag_p99_s=0.0015
    )
    sample = Sample(
        sequence=1,
        at_ns=1,
        users=parts.get("users", {UserState.FINISHED: 1234}),
        users_peak=2,
        counters=parts.get("counters", {}),
        gauges=parts.get("gauges", {}),
        timers=TimerBlock.of(parts.get("timers", {})).wire(),
        crashes=parts.get("crashes", {}),
        throttles=parts.get("throttles", {}),
        waiting={},
        workers=[sent_figures(worker)],
        host=(0.0, 0, 0, 0, 0),
    )
    point = runs.feed(SampleMerger(), sample, span_s=12.5)
    made = make(JournalFacts(), RunTotals.of([point]), run["directory"])
    return {**made, "run": {**made["run"], **run}}


def shown(summary, width=160, terminal=False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal)
    print_summary(console, summary)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return line.removeprefix(name).split()


def test_users_counters_gauges_timers_and_workers_are_shown_with_their_values():
    text = shown(
        summary(
            counters={"sent": 12_500},
            gauges={"queue": (Merge.MAX, 3.25, 1)},
            timers={"ttd": Histogram({240: 10}, 2_000_000)},
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


def test_kinds_of_users_have_their_own_table_and_are_not_counters():
    mixed = {
        "sent": 5,
        "kind.stay.users": 20,
        "kind.stay.iterations": 25,
        "kind.visit.iterations": 12_500,
    }
    crashes = {
        "stay: ValueError: sold out": 3,
        "stay: visit: OSError: timed out": 4,
        "OSError: stay: not a kind": 5,
    }
    heads, text = (
        shown(summary(counters=mixed, crashes=crashes)).split("\n\nkinds")[1].split("\n", 1)
    )
    assert heads.split() == ["users", "started", "iterations", "per", "second", "crashes"]
    assert row(text, "stay") == ["20", "25", "2.0", "7"]
    assert row(text, "visit") == ["–", "12,500", "1,000.0", "4"]
    assert row(text, "sent") == ["5", "0.4"]
    assert "kind." not in text


def test_an_empty_run_is_shown_without_empty_tables():
    text = shown(summary(users={}))
    for heading in ("counters", "gauges", "timers", "crashes by cause"):
        assert heading not in text


def test_a_run_that_never_reached_running_has_no_rates():
    text = shown({**summary(counters={"sent": 5}), "counters_per_s": {"sent": None}})
    assert row(text, "sent") == ["5"]


def test_causes_beyond_the_most_frequent_are_summed_in_one_line():
    crashes = {
        f"ValueError: {letter}": 100 - number for number, letter in enumerate("abcdefghijklmno")
    }
    text = shown(summary(crashes=crashes))
    assert row(text, "ValueError: a") == ["100"]
    rest = sum(sorted(crashes.values())[:-MAX_CAUSES])
    assert re.search(rf"5 other causes \(--json has all\) +{rest}\b", text)
    assert text.count("ValueError") == MAX_CAUSES


@pytest.mark.parametrize(
    "cause", ["KeyError: [red]x[/red]", "ValueError: [/]", "X: :smile: [link=a]"]
)
def test_a_cause_is_shown_verbatim_and_not_read_as_markup(cause):
    assert cause in shown(summary(crashes={cause: 1}))


def test_text_from_a_target_cannot_move_the_cursor():
    rude = "no \x1b[2J\x1b]0;owned\x07\x9b2J"
    text = shown(summary(run={**RUN, "reasons": [rude]}, crashes={rude: 1}))
    assert text.count("no  [2J ]0;owned  2J") == 2
    assert not [one for one in text if not one.isprintable() and one != "\n"]


def test_amocs_own_timers_are_not_shown_among_the_scenarios_timers():
    text = shown(
        summary(timers=dict.fromkeys([*reserved.TIMERS, "ttd"], Histogram({240: 1}, 1000)))
    )
    assert row(text, "ttd")
    assert not [name for name in reserved.TIMERS if re.search(rf"^{name}", text, re.MULTILINE)]


def test_every_crash_and_the_verdict_are_bold_red_on_a_terminal():
    text = shown(summary(run={**RUN, "verdict": "failed"}, crashes={"x": 7}), terminal=True)
    assert re.search(r"\x1b\[1;31mfailed", text)
    assert re.search(r"\x1b\[1;31m *7", text)


def test_a_narrow_terminal_still_shows_the_values():
    text = shown(summary(counters={"a_rather_long_name_of_a_counter" * 3: 123_456}), width=60)
    assert "123,456" in text


# The steady part


STEADY = [
    Point(
        t_s=float(second),
        span_s=1.0,
        counters={"sent": 10, "lost": 0},
        timers={"ttd": Histogram.of([3_000_000]), "token_lateness": Histogram.of([2_000_000])},
        throttles={"messages": ThrottlePoint(60.0, 60.0, "run", 2, 1, 0, 4)},
    )
    for second in range(6, 11)
]


def warmed(points):
    """The summary of a run of 12.5 s whose seconds after the first 5 s are `points`."""
    whole = summary(
        run={**RUN, "warmup_s": 5.0},
        counters={"sent": 1_000},
        timers={"ttd": Histogram({240: 10}, 2_000_000_000)},
        crashes={"ValueError": 3},
    )
    return {**whole, "window": window_of(Tally.of(points))}


def test_tables_cover_the_steady_part_and_say_so():
    text = shown(warmed(STEADY))
    assert row(text, "counters (after 5 s)") == ["total", "per", "second"]
    assert row(text, "sent") == ["50", "10.0"]
    assert row(text, "timers (after 5 s)")[0] == "count"
    assert row(text, "ttd")[0] == "5"
    assert row(text, "ttd")[-2:] == ["3", "ms"]
    assert re.search(r"\nthrottles \(after 5 s, late p99 2(\.\d+)? ms\) +rate +executions", text)
    assert row(text, "messages") == ["1/s", "5", "0", "4", "1.0"]
    assert row(text, "ValueError") == ["3"]
    assert "lost" not in text


def test_a_run_that_ended_during_its_warm_up_shows_the_warm_up():
    text = shown(warmed([]))
    assert row(text, "counters (warm-up)") == ["total", "per", "second"]
    assert row(text, "sent") == ["1,000", "80.0"]
    assert row(text, "ttd")[0] == "10"


# Reasons


def test_crashes_are_shown_next_to_any_verdict():
    for verdict in ("ok", "failed thresholds"):
        text = shown(summary(run={**RUN, "verdict": verdict}, crashes={"x": 1_211}))
        assert f"verdict {verdict}; 1,211 iterations crashed\n" in text
    assert "crashed" not in shown(summary()).splitlines()[1]


def test_notes_follow_the_reasons_in_another_colour():
    run = {**RUN, "reasons": ["it was late"], "notes": ["a second is missing"]}
    text = shown(summary(run=run), terminal=True)
    assert re.search(r"  \x1b\[31mit was late\x1b\[0m\s*\n  \x1b\[33ma second is missing\x1b", text)


def test_a_long_reason_wraps_with_indentation_below_the_verdict():
    run = {**RUN, "verdict": "failed", "reasons": ["many words " * 10]}
    broken = [line for line in shown(summary(run=run), width=60).splitlines() if "many" in line]
    assert len(broken) == 2
    assert all(line.startswith("  many words") for line in broken)


def test_a_finding_and_its_advice_form_one_sentence():
    found = {"text": "worker 0 of node0: it was late", "advice": "use more workers"}
    text = shown({**summary(), "health": {"limited": True, "findings": [found]}})
    assert "  worker 0 of node0: it was late; use more workers\n" in text


# Layout


def test_the_path_of_an_existing_report_is_shown(tmp_path):
    run = {**RUN, "directory": str(tmp_path)}
    assert "report:" not in shown(summary(run=run))
    (tmp_path / "report.html").write_text("")
    assert f"report: {tmp_path}/report.html\n" in shown(summary(run=run))


@pytest.mark.parametrize("width", [30, 40, 60])
def test_users_are_stacked_when_a_row_does_not_fit(width):
    text = shown(summary(crashes={"x": 7}), width=width)
    assert row(text, "started") == ["1,234"]
    assert row(text, "crashed") == ["7"]
    assert row(text, "max starts/s") == ["98.7"]
    assert all(len(line) <= width for line in text.splitlines())


def test_users_are_shown_in_a_row_when_it_fits():
    _, row_ = shown(summary(), width=80).split("max starts/s\n")
    assert row_.split()[:7] == ["1,234", "1,234", "0", "0", "0", "0", "2"]


def test_names_are_never_cut_even_on_a_narrow_terminal():
    name = "a_timer_with_quite_a_name.response"
    text = shown(summary(timers={name: Histogram({240: 1}, 1000)}), width=60)
    column = "".join(re.findall(r"^\S+", text.split("timers")[1].split("\n", 1)[1], re.MULTILINE))
    assert column.startswith(name)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_figures_and_names_of_steps_are_never_cut(width):
    times = Histogram({2_000: 70, 2_500: 30}, 20_000_000)
    timers = {"GET /item/7": times, "GET /item/7.response": times}
    counts = {"GET /item/7.count": 100, "GET /item/7.failures": 0}
    text = shown(summary(timers=timers, counters=counts), width=width)
    wide = shown(summary(timers=timers, counters=counts), width=200)
    heads, figures = wide.split("requests")[1].splitlines()[:2]
    assert "response p99" in heads
    assert "…" not in text
    narrow = text.split("requests", 1)[1].split("\n\n")[0]
    assert sorted((heads + figures).replace("GET /item/7", "").split()) == sorted(
        re.sub("requests|GET /item/7", "", narrow).split()
    )
    assert narrow.count("GET /item/7") == 1 + narrow.count("requests")
    assert all(len(line) <= width for line in narrow.splitlines())


def test_with_thousands_of_metrics_the_busiest_are_shown_and_the_rest_is_counted():
    names = [f"m{n:04}" for n in range(3000)]
    counts = {name: n + 1 for n, name in enumerate(names)}
    text = shown(
        summary(
            counters=counts,
            gauges=dict.fromkeys(names, (Merge.SUM, 1.0, 1)),
            throttles={name: (count, count, 0) for name, count in counts.items()},
            timers={name: Histogram({5: count}, 1000) for name, count in counts.items()},
        )
    )
    tables = text.split("\n\n")
    for title, first in (("counters", 2960), ("throttles", 2960), ("timers", 2960), ("gauges", 0)):
        [lines] = [one.splitlines() for one in tables if one.strip().startswith(title)]
        assert [line.split()[0] for line in lines[1:-1]] == names[first : first + MAX_METRICS]
        assert lines[-1].strip() == "2,960 more (--json has all)"


def test_with_thousands_of_workers_and_nodes_the_busiest_and_the_lost_are_shown():
    made = summary()
    [worker] = made["workers"]
    node = {"host": "h", "state": "up", "workers": 1, "restarted": 0, "lost": 0}
    workers = [{**worker, "worker": n, "node": f"n{n}", "cpu_s": 1.0 + n} for n in range(3000)]
    nodes = [{**node, "name": f"n{n}", "lost_at_s": 1.0 if n == 999 else None} for n in range(3000)]
    tables = shown({**made, "workers": workers, "nodes": nodes}).split("\n\n")
    [shown_workers, shown_nodes] = (
        next(one.splitlines()[1:] for one in tables if one.strip().startswith(title))
        for title in ("workers", "nodes")
    )
    assert [line.split()[0] for line in shown_workers[:MAX_METRICS]] == [
        f"n{n}/{n}" for n in range(2960, 3000)
    ]
    assert [line.split()[0] for line in shown_nodes[:MAX_METRICS]] == [
        *(f"n{n}" for n in range(MAX_METRICS - 1)),
        "n999",
    ]
    for found in (shown_workers, shown_nodes):
        assert found[MAX_METRICS].strip() == "2,960 more (--json has all)"


def test_messages_have_a_separate_table_with_lost_duplicated_and_reordered_shares():
    counters = {
        "messages_sent": 1_000,
        "messages_received": 990,
        "messages_expected": 1_000,
        "messages_delivered": 980,
        "messages_lost": 20,
        "messages_duplicated": 10,
        "pages": 3,
    }
    text = shown(summary(counters=counters))
    assert row(text, "messages_delivered") == ["980", "78.4", "98.00%"]
    assert row(text, "messages_lost") == ["20", "1.6", "2.00%"]
    assert row(text, "messages_reordered") == ["0", "0.00%"]
    assert "messages_foreign" not in text
    assert row(text, "pages") == ["3", "0.2"]


def test_requests_come_first_with_their_failures_by_cause():
    counters = {
        "get_vcard.count": 12,
        "get_vcard.failures": 2,
        "get_vcard.failures.item-not-found": 2,
        "total is right.passed": 3,
        "total is right.failed": 1,
        "rounds": 5,
    }
    text = shown(summary(counters=counters, timers={"get_vcard": Histogram({240: 10}, 2_000_000)}))
    assert row(text, "get_vcard")[:4] == ["12", "2", "(16.7", "%)"]
    assert row(text, "get_vcard")[-2:] == ["2", "ms"]
    assert "2 × get_vcard: item-not-found (first 0.0 s, last 12.5 s)" in text
    assert row(text, "total is right") == ["3", "1", "75", "%"]
    assert row(text, "rounds") == ["5", "0.4"]
    for name in ("get_vcard.count", "get_vcard.failures", "total is right.passed", "timers"):
        assert name not in text
    assert text.index("requests") < text.index("failures by cause") < text.index("users started")
