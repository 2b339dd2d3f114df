"""Steps and checks in the results: found by their metrics, with failures by cause and time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.area import Kind
from amoc.metrics.histogram import Histogram
from amoc.results import steps
from amoc.results.journal_facts import FailureSample, JournalFacts
from amoc.results.report import tables
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally
from amoc.results.step_rows import cells, percent, sentence
from amoc.results.steps import Failure
from amoc.results.stretch import joined
from amoc.results.summary import make
from amoc.results.thresholds.threshold import parse


def second(t_s: int, good: int = 0, name: str = "buy", **causes: int) -> Point:
    """A second with this many successes of a step, 20 ms each, and these failures by cause."""
    bad = sum(causes.values())
    counters = {"Aggregated.count": good + bad, "Aggregated.failures": bad}
    counters |= {f"{name}.count": good + bad, f"{name}.failures": bad}
    counters |= {f"{name}.failures.{cause}": n for cause, n in causes.items()}
    timer = Histogram.of([20_000_000] * good)
    return Point(float(t_s), 1.0, counters=counters, timers={name: timer, "Aggregated": timer})


def moment(point: Point, first_s: float, last_s: float) -> Point:
    """The second with the times of its first and last failures."""
    names = [name for name in point.counters if ".failures." in name]
    return replace(point, failed_at=dict.fromkeys(names, (first_s, last_s)))


def known(*points: Point) -> dict[str, Kind]:
    return RunTotals.of(points).known


RUN = (second(1, 5), second(2, 3, refused=2), second(3, 4), second(4, 0, refused=1, late=4))


def test_a_step_has_counts_times_and_failure_causes():
    found = steps.steps(Tally.of(RUN), known(*RUN), {"buy": {"late": FailureSample(7, "20 s")}})
    one = found["buy"]
    assert (one["count"], one["failures"], one["per_s"]) == (19, 7, 4.75)
    assert one["failed_share"] == 7 / 19
    assert one["times"]["p50_s"] == pytest.approx(0.02, rel=0.004)
    late, refused = one["causes"]
    assert refused == {
        "cause": "refused",
        "count": 3,
        "first_s": 1.0,
        "last_s": 4.0,
        "user_id": 0,
        "message": "",
    }
    assert (late["count"], late["first_s"], late["user_id"], late["message"]) == (4, 3.0, 7, "20 s")
    assert list(found) == ["buy", "Aggregated"]


def test_a_step_that_never_succeeded_has_no_times():
    run = (second(1, 0, refused=1),)
    (one, _) = steps.steps(Tally.of(run), known(*run), {}).values()
    assert set(one["times"].values()) == {None}
    assert cells(one) == ["1", "1 (100 %)", "1.0", "–", "–", "–", "–"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_sums_of_parts_equal_the_sum_of_all(seconds):
    run = [second(at, good, a=a, b=b) for at, (good, a, b) in enumerate(seconds, 1)]
    whole = Tally.of(run)
    for cut in {0, 1, len(run) // 2, len(run)}:
        parts = Tally.of(run[:cut])
        parts.merge(Tally.of(run[cut:]))
        assert parts.failed_at == whole.failed_at
        names = known(*run)
        assert steps.steps(parts, names, {}) == steps.steps(whole, names, {})
    for cause, column in (("a", 1), ("b", 2)):
        times = [at for at, one in enumerate(seconds) if one[column]]
        found = whole.failed_at.get(f"buy.failures.{cause}")
        assert found == ((times[0], times[-1] + 1) if times else None)


def test_failures_during_the_warm_up_are_not_in_the_window():
    quiet = Point(3.0, 1.0, counters={"buy.count": 2}, timers={"buy": Histogram.of([1, 1])})
    totals = RunTotals.of((second(1, 1, refused=1), second(2, 1), quiet), warmup_s=1.5)
    summary = make(JournalFacts(), totals, "")
    summary["window"] = window = make_window(totals)
    assert window["steps"]["buy"]["count"] == 2
    assert window["steps"]["buy"]["failures"] == 0
    assert summary["steps"]["buy"]["failures"] == 1


def make_window(totals: RunTotals):
    facts = JournalFacts(run={"plan": {"warmup_s": 1.5}})
    return make(facts, totals, "")["window"]


def test_failures_carry_their_exact_times_if_known():
    run = [second(1, 1), moment(second(2, 0, refused=2), 1.25, 1.5), second(3, 1)]
    run += [moment(second(4, 0, refused=1), 3.75, 3.75)]
    sums = Tally.of(run)
    assert sums.failed_at == {"buy.failures.refused": (1.25, 3.75)}
    assert joined(sums).failed_at == sums.failed_at
    assert Point.from_json(json.loads(json.dumps(run[1].to_json()))).failed_at == run[1].failed_at
    again = Tally.of([*run, second(9, 0, refused=1)])
    assert again.failed_at == {"buy.failures.refused": (1.25, 9.0)}


def test_failure_samples_come_from_the_journal():
    entry = {"kind": "failure", "step": "buy", "cause": "late", "message": "20 s", "user_id": 3}
    facts = JournalFacts.of([entry, {**entry, "message": "30 s"}])
    cause = make(facts, RunTotals.of(RUN), "")["steps"]["buy"]["causes"][0]
    assert (cause["cause"], cause["message"], cause["user_id"]) == ("late", "20 s", 3)


def test_response_times_are_shown_with_the_steps_if_any_step_has_one():
    response = {"buy.response": Histogram.of([50_000_000] * 5)}
    run = [replace(RUN[0], timers={**RUN[0].timers, **response}), *RUN[1:]]
    run.append(second(5, 1, name="login"))
    found = steps.steps(Tally.of(run), known(*run), {})
    assert found["buy"]["response"]["p99_s"] == pytest.approx(0.05, rel=0.004)
    assert set(found["login"]["response"].values()) == {None}
    table = tables.requests(found)
    assert table.heads[-1] == "response p99"
    assert [row[-1] for row in table.rows] == ["49.9 ms", "–", "–"]
    assert not steps.responds(steps.steps(Tally.of(RUN), known(*RUN), {}))


def test_a_single_step_has_no_aggregated_row():
    found = steps.steps(Tally.of(RUN), known(*RUN), {})
    assert list(steps.executed(found)) == ["buy"]
    more = (*RUN, second(5, 1, name="login"), second(6, 0, name="idle"))
    shown = steps.executed(steps.steps(Tally.of(more), known(*more), {}))
    assert list(shown) == ["buy", "login", "Aggregated"]


def test_failures_are_listed_most_frequent_first():
    found = steps.failures(steps.steps(Tally.of(RUN), known(*RUN), {}))
    assert [(one.step, one.cause["cause"]) for one in found] == [
        ("buy", "late"),
        ("buy", "refused"),
    ]
    assert sentence(found[1]) == "3 × buy: refused (first 1.0 s, last 4.0 s)"


def test_tables_of_other_counters_leave_out_steps_and_checks():
    counters = {"rounds": 3, "a.failures.x": 1, "ok.passed": 1, "ok.failed": 0}
    counters |= {"buy.count": 1, "buy.failures": 1, "buy.failures.x": 1, "buy.bytes": 9}
    assert steps.without(counters, ["buy"], ["ok"]) == {"rounds": 3, "a.failures.x": 1}


def test_checks_show_the_share_that_passed():
    run = (
        Point(1.0, 1.0, counters={"ok.passed": 3, "ok.failed": 1, "b.passed": 0, "b.failed": 0}),
    )
    found = steps.checks(Tally.of(run), known(*run))
    assert found["ok"] == {"passed": 3, "failed": 1, "passed_share": 0.75}
    assert found["b"]["passed_share"] is None
    assert tables.checks(found).rows == [("ok", "3", "1", "75 %")]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.0013, "0.13 %"),
        (0.5, "50 %"),
        (0.99999, "99.9 %"),
        (1.0, "100 %"),
        (0.00001, "0.001 %"),
    ],
)
def test_shares_are_formatted_as_percentages(share, text):
    assert percent(share) == text


def test_the_report_has_a_row_per_step_and_cause():
    found = steps.steps(Tally.of(RUN), known(*RUN), {"buy": {"late": FailureSample(7, "20 s")}})
    (row,) = tables.requests(found).rows
    assert row[:4] == ("buy", "19", "7 (36.8 %)", "4.8")
    late, refused = tables.failures(found).rows
    assert late == ("buy", "late", "4", "3.0 s", "4.0 s", "20 s")
    assert refused[:2] == ("buy", "refused")
    assert not tables.requests({}).rows


def test_of_many_steps_the_busiest_and_their_sum_are_visible_in_the_report():
    names = [f"GET /{at:02}" for at in range(40)]
    counts = {name: 100 + 7 * at % 40 for at, name in enumerate(names)}
    counts["Aggregated"] = sum(counts.values())
    empty = {
        "failures": 0,
        "failed_share": 0.0,
        "per_s": 1.0,
        "bytes": 0,
        "times": {},
        "causes": [],
    }
    found = {name: {"count": count, **empty} for name, count in counts.items()}
    table = tables.requests(found)
    visible, others = ([name for name, *_ in rows] for rows in (table.shown, table.more))
    assert visible[-1] == "Aggregated"
    assert (visible[:-1], others) == (sorted(visible[:-1]), sorted(others))
    assert min(counts[name] for name in visible) >= max(counts[name] for name in others)
    assert {*visible, *others} == counts.keys()


def test_a_failure_sentence_clamps_early_times_and_keeps_long_ones():
    cause = {"cause": "x", "count": 1, "first_s": -0.2, "last_s": 4000.0, "user_id": 0}
    assert "first 0.0 s, last 4,000.0 s" in sentence(Failure("a", {**cause, "message": ""}))


@pytest.mark.parametrize(
    ("text", "passed", "value"),
    [
        ("buy.failures < 40%", True, 7 / 19),
        ("buy.failures < 30%", False, 7 / 19),
        ("failures < 40%", True, 7 / 19),
        ("failures == 7", True, 7),
        ("buy.failures == 7", True, 7),
        ("buy.failures.refused <= 3", True, 3),
        ("buy.count == 19", True, 19),
        ("buy.rate > 4/s", True, 4.75),
        ("Aggregated.rate > 5/s", False, 4.75),
        ("buy.p95 < 30ms", True, None),
        ("total is right.failed < 26%", True, 0.25),
        ("total is right.passed / total is right.failed > 2", None, 3),
    ],
)
def test_thresholds_may_refer_to_steps_and_checks(text, passed, value):
    checked = Point(5.0, 0.0, counters={"total is right.passed": 3, "total is right.failed": 1})
    run = (*RUN, checked)
    result = parse(text).evaluate(Tally.of(run), known(*run))
    assert passed is None or result.passed is passed
    assert value is None or result.value == pytest.approx(value)


def test_a_threshold_on_failures_without_a_request_is_not_met():
    run = (Point(1.0, 1.0, counters={"rounds": 1}),)
    for text in ("failures < 1%", "buy.failures < 1%", "failures == 0"):
        result = parse(text).evaluate(Tally.of(run), known(*run))
        assert not result.passed
        assert result.value is None


def test_a_scenarios_own_counter_named_failures_is_used_as_is():
    run = (Point(1.0, 1.0, counters={"failures": 3, **RUN[1].counters}, timers=RUN[1].timers),)
    assert parse("failures == 3").evaluate(Tally.of(run), known(*run)).passed
    assert parse("failures < 41%").evaluate(Tally.of(run), known(*run)).value == 0.4
