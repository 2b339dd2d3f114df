"""Figures stay exact whatever happens to the processes that count, carry and add them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from amoc.results import journal, saved_run, summary_file
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Tally
from amoc.results.store.reader import StoredSeries
from amoc.results.summary import rebuild
from tests.preloaded import amoc
from tests.process.support import ROOT, Run, eventually, lines, running

pytestmark = pytest.mark.slow

COUNTING = """
    import os
    from amoc import metrics, user

    def init():
        return os.open(HERE + "/truth", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id, fd):
        counter, timer = metrics.counter("done"), metrics.timer("work")
        while not user.wait_stopping(0.005):
            timer.record(user_id / 1000)
            counter.inc()
            os.write(fd, b"%d\\n" % user_id)
"""
AT_ONCE = ("--set", "interarrival=0")


def done(run: Run) -> int:
    return Tally.of(run.seconds()).counters.get("done", 0)


def rebuilt_summary(run: Run) -> Any:
    """Rebuild the summary of a run from its journal and its series."""
    left = RunDirectory(run.directory)
    entries, points = journal.read(left.journal), StoredSeries(left.series)
    summary = rebuild(left.id, str(left.path), entries, points, running=False)
    return json.loads(json.dumps(summary))


def test_no_count_is_lost_by_a_killed_worker_and_a_stalled_controller(scenario, tmp_path):
    truth = tmp_path / "truth"
    everybody = {str(number) for number in range(1, 21)}
    arguments = ("--users", "20", "--limited-ok", *AT_ONCE)
    with running(scenario(COUNTING), *arguments, directory=tmp_path) as run:
        eventually(lambda: done(run), "users count")
        victim = run.find("worker 0")[0]
        run.kill(victim)
        eventually(lambda: run.find("worker 0") not in ([], [victim]), "the worker is replaced")
        run.kill(run.pid, signal.SIGSTOP)  # samples pile up without acknowledgement
        enough = len(lines(truth)) + 6_000
        eventually(lambda: len(lines(truth)) > enough, "users go on meanwhile")
        run.kill(run.pid, signal.SIGCONT)
        enough = len(lines(truth))
        eventually(lambda: set(lines(truth)[enough:]) == everybody, "all users go on")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    counted, whole = summary["counters"]["done"], Tally.of(run.seconds())
    # Each turn records, counts and then writes; the killed worker's users may have been half-way.
    assert 0 <= counted - len(lines(truth)) <= 10
    assert whole.counters["done"] == counted
    assert whole.timers["work"].count == summary["timers"]["work"]["count"]
    assert 0 <= whole.timers["work"].count - counted <= 10
    assert whole.timers["work"].quantiles_s(0.5)[0] == summary["timers"]["work"]["p50_s"]
    assert whole.span_s == pytest.approx(summary["run"]["duration_s"], abs=0.2)
    assert rebuilt_summary(run) == summary


EVENTFUL = """
    from amoc import expect, metrics, setting, sleep, throttle, user

    expect("turns.rate > 0.1/s")
    api_password = setting("hush", "What a file must not tell")
    metrics.counter("declared")
    metrics.timer("unused")
    metrics.gauge("never_set")

    def init():
        throttle.start("turns", rate=50, interval=1)

    def start(user_id):
        metrics.gauge("level").set(float("inf") if user_id == 1 else user_id)
        if user_id == 2:
            sum(range(30_000_000))
        while not user.stopping:
            throttle.wait("turns")
            with metrics.timer("turn").time():
                sleep(0.001)
            metrics.counter("turns").inc()
            if user_id == 3:
                raise ValueError("that a crash is in the summary")
"""


def test_a_rebuilt_summary_is_identical_to_the_last_digit(scenario, tmp_path):
    expected = (
        "--expect",
        "declared == 0",
        "--expect",
        "never_set < 1",
        "--expect",
        "crashes == 0",
    )
    arguments = ("--users", "10", "--warmup", "1s", "--comment", "eventful", *expected, *AT_ONCE)
    with running(scenario(EVENTFUL), *arguments, directory=tmp_path) as run:
        eventually(lambda: len(run.seconds()) >= 3, "the warm-up is over")
        victim = run.find("worker 0")[0]
        run.kill(victim)
        eventually(lambda: run.find("worker 0") not in ([], [victim]), "the worker is replaced")
        for command, state in (("pause", "paused"), ("resume", "running")):
            done = amoc(command, "--run", str(run.directory), cwd=ROOT)
            assert done.returncode == 0, done.stdout
            eventually(lambda state=state: run.seconds()[-1].state == state, f"it is {state}")
        assert amoc("stop", "--run", str(run.directory), cwd=ROOT).returncode == 0
        assert run.end() == ExitCode.THRESHOLD, run.output
        summary = run.summary()
    assert summary["blocked"]
    assert summary["crashes"]
    assert summary["workers"][0]["restarts"] == 1
    assert 0 < summary["run"]["paused_s"] < summary["run"]["duration_s"]
    assert summary["window"]["duration_s"] < summary["run"]["duration_s"] - 1
    assert rebuilt_summary(run) == summary


def test_an_interrupted_runs_summary_can_be_rebuilt_identically(scenario, tmp_path):
    stubborn = """
        from amoc import metrics, sleep

        def start(user_id):
            while True:
                metrics.counter("turns").inc()
                sleep(0.1)
    """
    with running(scenario(stubborn), "--users", "4", *AT_ONCE, directory=tmp_path) as run:
        eventually(lambda: len(run.seconds()) >= 2, "some seconds are written")
        run.kill(run.pid, signal.SIGINT)
        run.wait_for_output("again to stop at once")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == ExitCode.INTERRUPTED, run.output
        summary = run.summary()
    assert summary["run"]["verdict"] == "interrupted"
    assert rebuilt_summary(run) == summary


def test_a_killed_controller_loses_at_most_a_second_and_leaves_a_reportable_run(scenario, tmp_path):
    arguments = ("--users", "10", *AT_ONCE)
    with running(scenario(COUNTING), *arguments, directory=tmp_path) as run:
        eventually(lambda: len(run.seconds()) >= 3, "some seconds are written")
        run.kill(run.pid)
        killed_at = time.time()
        assert run.end() == -signal.SIGKILL
        assert killed_at - run.seconds()[-1].at < 1.6
        assert not RunDirectory(run.directory).summary.exists()
        made = amoc("report", str(run.directory), cwd=ROOT)
        assert made.returncode == 0, made.stdout
        found = saved_run.load(RunDirectory(run.directory))
    assert found.summary["run"]["verdict"] == "killed"
    assert found.summary["counters"]["done"] == done(run) > 100
    page = RunDirectory(run.directory).report.read_text()
    assert "killed" in page
    assert "trial" in page


def test_a_failed_threshold_fails_the_run_and_aborts_it_with_abort_on_fail(scenario, tmp_path):
    expected = ("--expect", "done < 100", "--expect", "work.p50 > 1us", "--abort-on-fail=1s")
    arguments = ("--users", "4", "--duration", "60s", *AT_ONCE, *expected)
    with running(scenario(COUNTING), *arguments, directory=tmp_path) as run:
        assert run.end() == ExitCode.THRESHOLD, run.output
        summary = run.summary()
    assert summary["run"]["verdict"] == "failed thresholds"
    assert summary["run"]["duration_s"] < 30
    assert [one["passed"] for one in summary["thresholds"]] == [False, True]
    left = RunDirectory(run.directory)
    assert summary_file.read(left.summary) == summary
    assert 'failures="2"' in left.junit.read_text()  # the verdict, and the failed threshold
    assert left.report.exists()
    assert summary["run"]["reasons"][0].startswith("the run was aborted after ")
    assert "of 60 s (--abort-on-fail): done must be < 100" in run.output


THOUSAND = """
    from amoc import metrics, user

    def start(user_id):
        for number in range(500):
            metrics.counter(f"counter_{number}").inc(number)
            metrics.timer(f"timer_{number}").record(number / 1000)
        user.wait_stopping(1.5)
"""


def test_a_thousand_metrics_are_all_reported(scenario, tmp_path):
    arguments = ("--users", "4", "--set", "repeat_num=1", *AT_ONCE)
    with running(scenario(THOUSAND), *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    whole = Tally.of(run.seconds())
    for number in range(500):
        assert summary["counters"][f"counter_{number}"] == 4 * number
        assert summary["timers"][f"timer_{number}"]["count"] == 4
        assert whole.timers[f"timer_{number}"].count == 4
    assert summary["counters"] == whole.counters
    assert rebuilt_summary(run) == summary


def test_an_invalid_threshold_is_refused_before_any_user_starts(scenario, tmp_path):
    typed = """
        from amoc import metrics
        metrics.counter("sent")
        def start(user_id): pass
    """
    arguments = ("--expect", "sent.p99 < 1s")
    with running(scenario(typed), *arguments, directory=tmp_path) as run:
        assert run.end() == ExitCode.USAGE
    assert "threshold 'sent.p99 < 1s': sent is a counter" in run.output
    assert not run.json.exists()
    assert not Path(run.directory).exists()


ONE_RATE = """
    import gevent
    from amoc import metrics, throttle, user

    def init():
        throttle.start("turns", rate=20, interval=1)

    def start(user_id):
        while not user.stopping:
            throttle.wait("turns")
            metrics.counter("turns").inc()
            if user_id == 1:
                gevent.sleep(60)  # not asked to stop, but killed
"""


def test_a_user_that_finishes_late_does_not_lower_any_rate(scenario, tmp_path):
    expected = ("--expect", "turns.rate > 18/s", "--expect", "turns.rate < 22/s")
    late = ("--duration", "4s", "--stop-timeout", "3s")
    arguments = ("--users", "10", *late, "--limited-ok", *expected, *AT_ONCE)
    with running(scenario(ONE_RATE), *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    rate = summary["counters_per_s"]["turns"]
    assert summary["thresholds"][0]["value"] == pytest.approx(rate, abs=0.001)
    turns, passed = summary["counters"]["turns"], summary["throttles"]["turns"]
    # A user asked to stop right at its slot has passed the throttle, but takes no turn.
    assert 0 <= passed["executions"] - turns <= 1
    # Both rates count while the run was running; that may end between a slot and its turn.
    active_s = summary["run"]["active_s"]
    more = (passed["executions_per_s"] - rate) * active_s
    assert more == pytest.approx(0, abs=0.01) or more == pytest.approx(1, abs=0.01)
    assert rate * active_s == pytest.approx(round(rate * active_s), abs=0.01)
    rows = [line.split() for line in run.output.splitlines() if line.startswith("turns ")]
    shown = [f"{one:.1f}" for one in (rate, passed["executions_per_s"])]
    assert sorted(row[-1] for row in rows) == sorted(shown)
    page = RunDirectory(run.directory).report.read_text()
    assert f"{rate:.4g}" in page
    assert summary["run"]["active_s"] < summary["run"]["duration_s"] - 1


BEYOND = """
    from amoc import metrics, user

    def start(user_id):
        metrics.counter("big").inc(2**63)
        metrics.counter("good").inc()
        user.wait_stopping()
"""


def test_a_counter_beyond_64_bits_saturates_and_affects_no_other(scenario, tmp_path):
    arguments = ("--users", "2", "--workers", "2", "--duration", "2s", "--limited-ok", *AT_ONCE)
    with running(scenario(BEYOND), *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        counters = run.summary()["counters"]
    assert (counters["big"], counters["good"]) == (2**64 - 1, 2)
    assert (
        run.output.count("counter big is at its maximum (2**64 - 1) and is no longer counting") == 1
    )
