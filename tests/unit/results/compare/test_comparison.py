"""Comparing two runs: differences in setup, and metrics that differ beyond noise."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from amoc.results.compare.comparison import INCONCLUSIVE, TOO_FEW, WITHIN, compare
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import SavedRun, load
from tests.unit.results import runs


def left(path, seconds=60, settings=(), warmup_s=0.0, **parts) -> SavedRun:
    journal = runs.journal(seconds, id=path.name, warmup_s=warmup_s)
    journal[0]["settings"] = {name: {"value": value, "from": "--set"} for name, value in settings}
    journal[0]["versions"] = {"amoc": "0.1.0", "python": f"3.{len(settings)}"}
    runs.leave(path, runs.points(seconds, **parts), journal)
    return load(RunDirectory(path))


def results(comparison) -> dict[tuple[str, str, str], str]:
    return {(one.kind, one.name, one.statistic): one.result for one in comparison.all_metrics}


def test_similar_runs_do_not_differ(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", seed=2))
    assert found.significant == []
    assert found.tested > 15
    unsure = [one.name for one in found.metrics if one.result == INCONCLUSIVE]
    assert unsure == ["all"], "three crashes in a minute"
    assert found.conclusion() == (
        f"none of {found.tested} metrics changed significantly; 1 inconclusive"
    )


def test_a_slower_target_and_a_higher_rate_are_detected(tmp_path):
    slow = left(tmp_path / "b", seed=3, service_s=0.024, rate=110)
    found = compare(left(tmp_path / "a"), slow)
    words = results(found)
    for percentile in ("p50", "p95", "p99"):
        assert words["timers", "message_ttd", percentile] == "slower"
    assert words["counters", "messages_sent", "rate"] == "more"
    assert words["throttles", "messages", "executions"] == "more"
    assert words["timers", "loop_lag", "p50"] == WITHIN
    back = results(compare(slow, left(tmp_path / "a")))
    assert back["timers", "message_ttd", "p50"] == "faster"
    assert back["counters", "messages_sent", "rate"] == "fewer"


def test_differences_are_absolute_and_relative(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", service_s=0.024))
    p50 = next(one for one in found.metrics if (one.name, one.statistic) == ("message_ttd", "p50"))
    assert p50.difference == pytest.approx(p50.second - p50.first)
    assert p50.relative == pytest.approx(0.2, abs=0.02)
    assert p50.to_json()["significant"] is True


def test_a_metric_is_significant_exactly_if_its_difference_exceeds_its_noise(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", seed=3, service_s=0.021, rate=103))
    tested = [one for one in found.all_metrics if one.p_value is not None]
    assert {one.significant for one in tested} == {True, False}
    for one in tested:
        assert one.significant is (abs(one.difference) > one.noise), one


def test_a_metric_that_varies_as_much_as_its_mean_is_inconclusive(tmp_path):
    def busy(name, seed):
        draw = random.Random(seed)
        points = [
            replace(point, gauges={"wild": draw.choice([0.0, 8.0]), "still": 5.0 + draw.random()})
            for point in runs.points(60)
        ]
        runs.leave(tmp_path / name, points, runs.journal(60))
        return load(RunDirectory(tmp_path / name))

    found = compare(busy("a", 1), busy("b", 2))
    words = results(found)
    assert words["gauges", "wild", "mean"] == INCONCLUSIVE
    assert words["gauges", "still", "mean"] == WITHIN
    assert not any(one.significant for one in found.metrics)


def test_a_metric_that_is_zero_in_both_runs_is_within_noise(tmp_path):
    records = []
    for name in ("a", "b"):
        points = [replace(point, counters={"none": 0}) for point in runs.points(30)]
        runs.leave(tmp_path / name, points, runs.journal(30))
        records.append(load(RunDirectory(tmp_path / name)))
    assert results(compare(*records))["counters", "none", "rate"] == WITHIN


def test_a_missing_warm_up_is_shown_as_none(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", warmup_s=10.0)).setup
    assert [(one.name, one.first, one.second) for one in found] == [("warm-up", "none", "10 s")]


def test_maxima_are_shown_but_not_tested(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", stall=range(30, 32)))
    longest = next(
        one for one in found.metrics if (one.name, one.statistic) == ("message_ttd", "max")
    )
    assert longest.second > 1 > longest.first
    assert longest.result == ""
    assert longest.p_value is None


def test_short_runs_are_not_tested(tmp_path):
    found = compare(left(tmp_path / "a", 5), left(tmp_path / "b", 5))
    assert found.tested == 0
    assert set(results(found).values()) == {TOO_FEW, ""}
    assert found.conclusion() == "too few seconds of data to compare the runs"


def test_different_settings_and_versions_are_listed(tmp_path):
    first = left(tmp_path / "a", settings=[("rate", "600"), ("same", "1")])
    second = left(tmp_path / "b", settings=[("rate", "900"), ("same", "1"), ("new", "x")])
    found = {(one.kind, one.name): (one.first, one.second) for one in compare(first, second).setup}
    assert found == {
        ("setting", "rate"): ("600", "900"),
        ("setting", "new"): ("", "x"),
        ("version", "python"): ("3.2", "3.3"),
    }


def test_each_run_leaves_out_its_own_warm_up_unless_told_otherwise(tmp_path):
    first, second = left(tmp_path / "a", warmup_s=20.0), left(tmp_path / "b")
    found = compare(first, second)
    assert [side.tally.first.t_s for side in found.sides] == [21.0, 1.0]
    found = compare(first, second, warmup_s=30.0)
    assert [side.tally.first.t_s for side in found.sides] == [31.0, 31.0]
    assert [side.tally.span_s for side in found.sides] == [30.0, 30.0]


def test_only_seconds_in_which_the_run_was_running_count(tmp_path):
    record = left(tmp_path / "a")
    points = runs.points(60)
    points[:10] = [replace(one, state="paused") for one in points[:10]]
    runs.leave(tmp_path / "b", points)
    found = compare(record, load(RunDirectory(tmp_path / "b")))
    assert [side.tally.points for side in found.sides] == [60, 50]


def test_a_metric_of_only_one_run_is_shown(tmp_path):
    bare = SavedRun(tmp_path, left(tmp_path / "x", 1).summary, [], [], False)
    found = compare(bare, left(tmp_path / "b"))
    p50 = next(one for one in found.metrics if (one.name, one.statistic) == ("message_ttd", "p50"))
    assert (p50.first, p50.difference, p50.relative, p50.result) == (None, None, None, "")
    sent = next(one for one in found.metrics if one.name == "messages_sent")
    assert (sent.first, sent.result) == (None, TOO_FEW)


def test_a_comparison_can_be_written_as_json(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", service_s=0.03))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [run["run"]["id"] for run in told["runs"]] == ["a", "b"]
    assert told["conclusion"] == found.conclusion()
    assert any(one["result"] == "slower" for one in told["metrics"])


def test_differences_between_plans_are_listed(tmp_path):
    records = []
    for name, plan in (
        ("a", {"users": [1, 11], "duration_s": 30.0, "rates": {}}),
        ("b", {"users": [1, 21], "duration_s": 30.0, "rates": {"messages": "600/min"}}),
    ):
        journal = runs.journal(5, plan={**plan, "stages": {"text": "5s:10", "start": 0}})
        journal[0]["scenario"] = {"source": "chat.py", "sha256": name * 64}
        runs.leave(tmp_path / name, runs.points(5), journal)
        records.append(load(RunDirectory(tmp_path / name)))
    found = {one.name: (one.first, one.second) for one in compare(*records).setup}
    assert found == {
        "users": ("1 to 10", "1 to 20"),
        "throttle messages": ("", "600/min"),
        "scenario file": ("sha256 aaaaaaaaaaaa…", "sha256 bbbbbbbbbbbb…"),
    }


def test_a_plan_without_a_number_of_users_has_none_in_the_setup(tmp_path):
    records = []
    for name, plan in (("a", {"users": [1, 11]}), ("b", {"users": [1, 1]})):
        runs.leave(tmp_path / name, runs.points(5), runs.journal(5, plan=plan))
        records.append(load(RunDirectory(tmp_path / name)))
    found = {one.name: (one.first, one.second) for one in compare(*records).setup}
    assert found == {"users": ("1 to 10", "")}


@pytest.mark.once
@pytest.mark.slow
def test_among_many_pairs_of_similar_runs_hardly_any_metric_differs(tmp_path):
    pairs, wrong = 50, []
    summary = left(tmp_path / "x", 1).summary
    for pair in range(pairs):
        first, second = (
            SavedRun(tmp_path, summary, runs.points(30, seed=seed), [], True)
            for seed in (2 * pair, 2 * pair + 1)
        )
        wrong += compare(first, second).significant[:1]
    assert len(wrong) <= 2, wrong
