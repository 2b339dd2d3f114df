"""A run read back from its summary, or from the files of a killed run."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from amoc.base.errors import UsageError
from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import statistics
from amoc.results.replay import record_of
from amoc.results.run_directory import RunDirectory
from amoc.results.run_totals import RunTotals
from amoc.results.saved_run import SavedRun, load
from amoc.results.series import Point, Tally
from amoc.results.summary import rebuild, window_of
from amoc.scenario.run_plan import RunPlan
from tests.unit.results import runs

CAUSE = "OSError: timed out (chat.py:12 in start)"


def read(path) -> tuple[SavedRun, list[str]]:
    told: list[str] = []
    return load(RunDirectory(path), told.append), told


def killed(seconds=60, **run):
    return [one for one in runs.journal(seconds, **run) if one["kind"] != "end"]


def test_an_existing_summary_is_used_unchanged(tmp_path):
    summary = {"run": {"id": "one", "verdict": "ok"}, "anything": [1]}
    runs.leave(tmp_path, runs.points(3), summary=summary)
    record, told = read(tmp_path)
    assert record.summary == summary
    assert record.complete
    assert [point.t_s for point in record.points] == [1, 2, 3]
    assert record.journal[0]["kind"] == "run"
    assert told == []


def test_totals_of_a_killed_run_are_sums_of_its_seconds(tmp_path):
    points = runs.points(60, stall=range(30, 32))
    runs.leave(tmp_path, points, killed())
    record, told = read(tmp_path)
    summary = record.summary
    assert not record.complete
    assert told == []
    sent = sum(point.counters["messages_sent"] for point in points)
    assert summary["counters"]["messages_sent"] == sent
    ttd = Histogram()
    for point in points:
        ttd.add(point.timers["message_ttd"].cells, point.timers["message_ttd"].max_ns)
    assert summary["timers"]["message_ttd"] == statistics(ttd)
    assert summary["timers"]["message_ttd"]["max_s"] > 1
    assert summary["gauges"] == {"connected": 50.0}
    throttle = summary["throttles"]["messages"]
    assert (throttle["executions"], throttle["rate"], throttle["interval_s"]) == (sent, 6000, 60)
    assert throttle["executions_per_s"] == pytest.approx(sent / 60, abs=0.001)
    assert throttle["waiting"] == 20
    assert summary["users"] | {"starts_per_s_peak": 10.0} == summary["users"]
    assert summary["users"]["peak"] == 50
    assert [(one["worker"], one["users_peak"]) for one in summary["workers"]] == [(0, 25), (1, 25)]
    cpu_s = sum(point.workers[0].cpu for point in points)
    assert summary["workers"][0]["cpu_s"] == pytest.approx(cpu_s, abs=0.001)


def test_a_killed_run_is_marked_as_killed_and_keeps_its_tracebacks(tmp_path):
    runs.leave(tmp_path, runs.points(60), killed())
    summary = read(tmp_path)[0].summary
    run = summary["run"]
    assert (run["verdict"], run["exit_code"], run["duration_s"]) == ("killed", None, 60.0)
    assert run["reasons"] == ["the run was killed after 60 s; what came later is unknown"]
    assert (run["id"], run["seed"]) == ("20261125T020000-1a2b", 42)
    assert run["comment"] == "before the change"
    assert run["directory"] == str(tmp_path)
    [crash] = summary["crashes"]
    assert (crash["cause"], crash["count"], crash["user_id"]) == (CAUSE, 3, 7)
    assert crash["traceback"].startswith("Traceback")
    assert summary["users"]["crashed"] == 3


def test_a_run_without_a_summary_takes_its_verdict_from_the_journal(tmp_path):
    """As when the disk was full at the time the summary was written."""
    end = {"t_s": 61.5, "kind": "end", "verdict": "failed", "exit_code": 8, "message": "node lost"}
    runs.leave(tmp_path, runs.points(60), [*killed(), end])
    run = read(tmp_path)[0].summary["run"]
    assert (run["verdict"], run["exit_code"]) == ("failed", 8)
    assert run["reasons"] == ["node lost", "summary.json is missing, so it was rebuilt"]
    assert run["duration_s"] == 61.5


def test_an_active_run_is_summarized_so_far(tmp_path):
    runs.leave(tmp_path, runs.points(12), killed())
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(RunDirectory(tmp_path).control))
        control.listen()
        record, _ = read(tmp_path)
    assert record.running
    assert record.summary["run"]["reasons"] == [
        "the run is still running; these are its results after 12 s"
    ]
    assert not read(tmp_path)[0].running


def test_the_plan_is_read_from_a_real_journal(tmp_path):
    plan = RunPlan("chat.py", range(1, 11), None, [], 7, "again", 30.0, 10.0)
    entry = {"t_s": None, "kind": "run", "at": "…", **record_of(plan, None, "an-id")}
    entry["settings"] = {"rate": {"value": "600", "from": "--set", "description": "how many"}}
    runs.leave(tmp_path, runs.points(2), [json.loads(json.dumps(entry))])
    summary = read(tmp_path)[0].summary
    run = summary["run"]
    assert (run["scenario"], run["comment"], run["seed"]) == ("chat.py", "again", 7)
    [setting] = summary["settings"]
    assert setting == {
        "name": "rate",
        "value": "600",
        "source": "--set",
        "description": "how many",
        "module": "",
    }
    assert set(summary["versions"]) >= {"amoc", "python"}


def test_blocking_calls_are_summed_by_place(tmp_path):
    told = {"kind": "blocked", "t_s": 5.0, "worker": 0, "place": "chat.py:9 in start"}
    first = {**told, "times": 2, "total_ns": 3 * 10**9, "longest_ns": 2 * 10**9, "trace": "File …"}
    later = {**told, "times": 1, "total_ns": 10**9, "longest_ns": 10**9, "trace": ""}
    runs.leave(tmp_path, runs.points(2), [*killed(), first, later])
    assert read(tmp_path)[0].summary["blocked"] == [
        {
            "place": "chat.py:9 in start",
            "times": 3,
            "total_s": 4.0,
            "longest_s": 2.0,
            "trace": "File …",
        }
    ]


def test_the_window_begins_with_the_first_second_after_the_warm_up():
    points = runs.points(30)
    late, steady = (RunTotals.of(points, warmup_s).window for warmup_s in (9.5, 10.0))
    assert late == steady
    assert window_of(steady) == window_of(Tally.of(points[10:]))
    window = window_of(steady)
    assert (window["from_s"], window["to_s"], window["duration_s"]) == (10.0, 30.0, 20.0)
    assert window["counters"]["messages_sent"] == sum(
        point.counters["messages_sent"] for point in points[10:]
    )
    assert rebuild("x", "x", runs.journal(30, warmup_s=10.0), points, False)["window"] == window
    assert "window" not in rebuild("x", "x", runs.journal(30), points, False)


def test_paused_time_is_the_time_between_states():
    states = [(0.0, "running"), (5.0, "paused"), (8.0, "running"), (20.0, "paused")]
    journal = [{"kind": "state", "t_s": t_s, "state": state} for t_s, state in states]
    run = rebuild("x", "x", journal, runs.points(30), False)["run"]
    assert run["paused_s"] == 13.0


def test_a_stopped_throttle_keeps_its_counts():
    points = runs.points(5)
    used = sum(point.throttles["messages"].executions for point in points)
    points.append(Point(t_s=6.0, span_s=1.0, throttles={}))
    throttle = rebuild("x", "x", runs.journal(), points, False)["throttles"]["messages"]
    assert throttle["mode"] == "stopped"
    assert throttle["executions"] == used > 0
    assert throttle["waiting"] == 0


def test_a_replaced_worker_counts_as_one_worker():
    points = [
        Point(
            t_s=n + 1.0, span_s=1.0, workers=[WorkerPoint("node0", 0, incarnation, users, cpu=0.5)]
        )
        for n, (incarnation, users) in enumerate([(1, 5), (1, 9), (3, 2)])
    ]
    [worker] = rebuild("x", "x", [], points, False)["workers"]
    assert (worker["restarts"], worker["users_peak"], worker["cpu_s"]) == (2, 9, 1.5)


def test_a_crash_found_only_in_the_journal_is_counted():
    points = [Point(t_s=1.0, span_s=1.0)]
    crash = {"kind": "crash", "t_s": 1.5, "cause": "KeyError", "user_id": 3, "traceback": "T"}
    summary = rebuild("x", "x", [crash], points, False)
    assert summary["crashes"] == [{"cause": "KeyError", "count": 1, "user_id": 3, "traceback": "T"}]
    assert summary["users"]["crashed"] == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"run": 1}', '{"run": {}}', '{"run": {"verdict": 1}}', '{"run": {"id": "o'],
)
def test_an_invalid_summary_is_rebuilt(tmp_path, text):
    runs.leave(tmp_path, runs.points(5), killed())
    (tmp_path / "summary.json").write_text(text)
    record, told = read(tmp_path)
    assert not record.complete
    assert record.summary["run"]["verdict"] == "killed"
    assert told == ["summary.json is damaged, so it was rebuilt"]


def test_a_journal_without_a_series_gives_an_empty_run(tmp_path):
    runs.leave(tmp_path, [], killed()[:2])
    (tmp_path / "series.amoc").unlink()
    record, told = read(tmp_path)
    assert len(told) == 1
    assert "series.amoc cannot be read: No such file" in told[0]
    assert record.summary["run"]["reasons"] == [
        "the run was killed before a user could start; what came later is unknown",
        "the run has no per-second data, so its totals are unknown",
        *told,
    ]
    assert record.summary["users"]["started"] == 0


def test_a_series_without_a_journal_is_named_after_its_directory(tmp_path):
    points = runs.points(5)
    runs.leave(tmp_path / "there", points, [])
    (tmp_path / "there" / "journal.jsonl").unlink()
    record, told = read(tmp_path / "there")
    assert record.summary["run"]["id"] == "there"
    assert record.summary["run"]["seed"] is None
    sent = sum(point.counters["messages_sent"] for point in points)
    assert record.summary["counters"]["messages_sent"] == sent > 0
    assert len(told) == 1


def test_a_directory_without_run_files_is_rejected(tmp_path):
    with pytest.raises(UsageError, match=r"has none of summary\.json, series\.amoc, journal"):
        read(tmp_path)


def test_a_rebuilt_summary_is_valid_json_for_any_values(tmp_path):
    points = [Point(t_s=1.0, span_s=1.0, gauges={"level": float("inf")})]
    runs.leave(tmp_path, points, killed())
    summary = read(tmp_path)[0].summary
    assert summary["gauges"] == {"level": None}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_thresholds_are_evaluated_on_the_part_that_was_run(tmp_path):
    entries = killed(plan={"thresholds": ["message_ttd.p99 < 1ms", "crashes == 3"]})
    entries[0]["thresholds"] = ["messages_sent.rate > 50/s"]
    runs.leave(tmp_path, runs.points(60), entries)
    found = read(tmp_path)[0].summary["thresholds"]
    assert [(one["expression"], one["source"], one["passed"]) for one in found] == [
        ("message_ttd.p99 < 1ms", "--expect", False),
        ("crashes == 3", "--expect", True),
        ("messages_sent.rate > 50/s", "scenario", True),
    ]


def test_thresholds_that_can_no_longer_be_parsed_are_left_out(tmp_path):
    runs.leave(tmp_path, runs.points(3), killed(plan={"thresholds": ["words of another time"]}))
    assert read(tmp_path)[0].summary["thresholds"] == []


def test_a_rebuilt_summary_finds_a_slow_generator(tmp_path):
    points = [
        replace(point, workers=[replace(one, cpu=1.0, lag_p99_s=3.0) for one in point.workers])
        for point in runs.points(60)
    ]
    runs.leave(tmp_path, points, killed())
    health = read(tmp_path)[0].summary["health"]
    assert health["limited"]
    assert health["findings"][0]["where"].endswith("0")
