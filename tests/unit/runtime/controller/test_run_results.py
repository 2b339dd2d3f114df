"""The results of a run: from samples to files and the exit code."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import gevent
import pytest

from amoc.base import pause, periodic_yield
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ExitCode, PeerError, UsageError
from amoc.base.node_latency import NodeLatency
from amoc.base.operator_log import OperatorLog
from amoc.ipc.messages.lifecycle import Loaded, Ready
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import Blocked, CrashSeen
from amoc.metrics.area import Kind
from amoc.metrics.board import UserState
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.results import journal, saved_run, summary_file
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from amoc.runtime import logs
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.run_results import RunResults
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status
from amoc.runtime.stall_causes import MAX_PLACES, OTHERS
from amoc.scenario.run_plan import RunPlan

RAN_S = 10
OFF = {"prometheus_port": "0", "otel_traces": "0"} | dict.fromkeys(
    ("graphite_host", "graphite_web", "otel_endpoint", "statsd_host"), ""
)
SETTINGS = [(name, value, "default", "", "") for name, value in OFF.items()]


class Bench:
    """A run of `RAN_S` seconds, advanced to where a test needs it."""

    def __init__(self, tmp_path, thresholds=(), declared=(), **plan) -> None:
        pause.reset()  # earlier tests may have left it paused
        self.told: list[tuple[str, str]] = []
        self.plan = RunPlan(
            "chat.py",
            range(1, 3),
            None,
            (),
            7,
            "a trial",
            30.0,
            10.0,
            run_directory=str(tmp_path / "run"),
            **plan,
        )
        self.left = RunDirectory(tmp_path / "run")
        self.status = Status(plan=self.plan, run_id="an-id", state=State.RUNNING)
        operator = OperatorLog(lambda level, text: self.told.append((level, text)))
        self.files = RunFiles(self.plan, "an-id", operator.warning)
        self.results = RunResults(self.status, self.files, operator)
        loaded = Loaded("chat", "", SETTINGS, (0.0, None), 1, 0, 1000, thresholds)
        self.results.loaded(loaded)
        self.files.begin(loaded, datetime.now(UTC))
        self.results.ready(Ready((), declared))
        self._sequence = 0

    def begin(self, ago_s=RAN_S):
        self.begun_ns = now_ns() - ago_s * S_NS
        self.files.users_may_start(self.begun_ns)
        self.results.begin(self.begun_ns, lambda _at_ns: {}, lambda: 0, NodeLatency())
        return self

    def sample(self, at_s: float, taken: list[int] | None = None, **parts) -> None:
        """Receive a sample; merge it at once or, with `taken`, later, noting it there."""
        self._sequence += 1
        rest = {
            "users": {UserState.RUNNING: 2},
            "users_peak": 2,
            **{name: {} for name in ("counters", "gauges", "timers", "crashes", "throttles")},
            "waiting": {},
            "workers": (),
            "host": (0.0, 0, 0, 0, 0),
            **parts,
        }
        sample = Sample(self._sequence, self.begun_ns + int(at_s * S_NS), **rest)
        if taken is None:
            self.results.take("node0", sample)
        else:
            self.results.handle("node0", sample, lambda: taken.append(sample.sequence))

    def end(self, ended="ok", failure=None):
        self.results.stop(self.begun_ns + RAN_S * S_NS)
        self.results.close()
        return self.results.end(ended, failure, self.begun_ns + RAN_S * S_NS)

    def entries(self, kind):
        return [one for one in journal.read(self.left.journal) if one["kind"] == kind]


def test_log_lines_held_by_a_run_without_users_are_not_missed_in_its_removed_log(tmp_path):
    run = Bench(tmp_path)
    logs.begin("controller", "info")
    try:
        logs.attach(OperatorLog(lambda level, text: run.told.append((level, text))))
        logs.open_directory(run.left.logs)
        for number in range(300):
            logging.getLogger("amoc.throttle").info("throttle t%d is started", number)
        outcome = run.results.end("failed", UsageError("no"), now_ns())
        assert (outcome.exit_code, outcome.summary) == (ExitCode.USAGE, None)
        assert not run.left.path.exists()
    finally:
        logs.end()
    assert run.told == []


def test_samples_become_seconds_of_the_series_and_of_the_status(tmp_path):
    run = Bench(tmp_path).begin()
    for second in range(1, 4):
        run.sample(second, counters={"n": 10 * second})
    assert [point.counters["n"] for point in run.status.points] == [10, 10, 10]
    assert [point.span_s for point in run.status.points] == [1.0, 1.0, 1.0]
    run.files.missing()  # everything is written now
    assert [point.t_s for point in StoredSeries(run.left.series)] == [1.0, 2.0, 3.0]
    assert run.status.totals.whole.counters == {"n": 30}
    assert RAN_S <= run.status.elapsed_s < RAN_S + 30


def test_a_sample_before_users_may_start_makes_no_second(tmp_path):
    run = Bench(tmp_path)
    run.begun_ns = now_ns()
    run.sample(1)
    assert not run.status.points
    assert run.status.elapsed_s == 0


def test_a_successful_run_writes_its_files(tmp_path):
    run = Bench(tmp_path).begin()
    run.sample(1, counters={"n": 10})
    run.sample(2, counters={"n": 25})
    outcome = run.end()
    assert (outcome.exit_code, outcome.message) == (ExitCode.OK, "")
    assert outcome.summary["run"]["verdict"] == "no criteria"
    assert outcome.summary["run"]["duration_s"] == float(RAN_S)
    assert outcome.summary["counters"]["n"] == 25
    assert summary_file.read(run.left.summary)["run"] == outcome.summary["run"]
    assert run.left.report.exists()
    assert run.left.junit.exists()
    [end] = run.entries("end")
    assert (end["verdict"], end["exit_code"], end["records"]) == ("no criteria", 0, 2)
    assert saved_run.load(run.left).missing == []


def test_counts_after_the_last_second_are_in_the_summary(tmp_path):
    run = Bench(tmp_path).begin()
    run.sample(1, counters={"n": 10})
    sample = run.status.samples.latest["node0"]
    run.status.samples.take("node0", sample._replace(sequence=2, counters={"n": 11}))
    assert run.status.totals.whole.counters == {"n": 10}
    assert run.end().summary["counters"]["n"] == 11


def test_samples_are_merged_in_the_order_of_arrival(tmp_path):
    run, taken = Bench(tmp_path).begin(), []
    durations = {f"t{n}": Histogram(dict.fromkeys(range(200, 400), 1), 2_000) for n in range(50)}
    run.sample(1, taken, timers=TimerBlock.of(durations).wire())
    run.sample(2, taken, counters={"n": 1})
    assert taken == []
    work = gevent.spawn(run.results.work)
    try:
        while len(taken) < 2:
            gevent.sleep(0.001)
    finally:
        work.kill()
    assert taken == [1, 2]
    first, second, *_ = run.status.points
    assert first.timers == durations
    assert second.counters == {"n": 1}


def test_the_loop_turns_while_a_large_sample_is_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(periodic_yield, "HOLD_NS", 0)
    run, taken = Bench(tmp_path).begin(), []
    durations = {f"t{n}": Histogram(dict.fromkeys(range(200, 400), 1), 2_000) for n in range(50)}
    run.sample(1, taken, timers=TimerBlock.of(durations).wire())
    turns = []

    def turn() -> None:
        while not taken:
            turns.append(len(run.status.points))
            gevent.sleep(0)

    gevent.spawn(turn)
    work = gevent.spawn(run.results.work)
    try:
        while not taken:
            gevent.sleep(0.001)
    finally:
        work.kill()
    cells = 50 * 200
    assert len(turns) >= 2 * cells // 1_000, "for what each node has said, and for the run's sums"
    assert run.status.totals.whole.timers == durations


def test_no_second_is_cut_during_or_after_the_last_one(tmp_path, monkeypatch):
    monkeypatch.setattr(periodic_yield, "HOLD_NS", 0)
    run = Bench(tmp_path).begin(ago_s=0)
    durations = {f"t{n}": Histogram(dict.fromkeys(range(200, 400), 1), 2_000) for n in range(50)}
    run.sample(-0.5, timers=TimerBlock.of(durations).wire())  # does not end a second

    def go_on_talking() -> None:
        for count in range(8):
            gevent.sleep(0)
            run.sample(0.1 + count / 100, [], counters={"n": count})

    work, talk = gevent.spawn(run.results.work), gevent.spawn(go_on_talking)
    try:
        run.results.close()
        points = list(run.status.points)
        for _ in range(50):
            gevent.sleep(0)
    finally:
        gevent.killall([talk, work])
    assert list(run.status.points) == points
    run.files.missing()  # everything is written now
    times = [point.t_s for point in StoredSeries(run.left.series)]
    assert times == sorted(set(times)) == [point.t_s for point in points]


def test_samples_received_before_the_end_are_in_the_summary(tmp_path):
    run, taken = Bench(tmp_path).begin(), []
    run.sample(1, counters={"n": 10})
    run.sample(2, taken, counters={"n": 25})
    run.sample(3, taken, counters={"n": 31})
    assert run.end().summary["counters"]["n"] == 31
    assert taken == [2, 3]


def test_a_failed_threshold_decides_the_verdict(tmp_path):
    run = Bench(tmp_path, ("n > 100",)).begin()
    run.sample(1, counters={"n": 10})
    [(text, result)] = run.status.thresholds
    assert (text, result.passed) == ("n > 100", False)
    outcome = run.end()
    assert outcome.exit_code == ExitCode.THRESHOLD
    assert outcome.summary["run"]["verdict"] == "failed thresholds"
    assert run.entries("end")[0]["verdict"] == "failed thresholds"


def test_a_failure_outranks_a_threshold(tmp_path):
    run = Bench(tmp_path, ("n > 100",)).begin()
    run.sample(1, counters={"n": 10})
    outcome = run.end("failed", PeerError("the node is lost"))
    assert (outcome.exit_code, outcome.message) == (ExitCode.NODE_LOST, "the node is lost")
    assert outcome.summary["run"]["reasons"] == ["the node is lost"]


def test_a_run_that_fails_before_its_users_start_leaves_no_files(tmp_path):
    run = Bench(tmp_path)
    outcome = run.results.end("failed", PeerError("no node"), now_ns())
    assert (outcome.exit_code, outcome.message) == (ExitCode.NODE_LOST, "no node")
    assert outcome.summary is None
    assert not run.left.path.exists()


def test_a_failed_threshold_aborts_the_run_with_abort_on_fail(tmp_path):
    run = Bench(tmp_path, ("n < 5",), abort_after_s=0.0).begin()
    assert run.results.aborted == ""
    run.sample(1, counters={"n": 10})
    assert run.results.aborted.startswith("the run was aborted after 1 s (--abort-on-fail): n ")
    assert run.end("stopped").summary["run"]["reasons"] == [run.results.aborted]


def test_a_failed_threshold_does_not_abort_the_run_without_abort_on_fail(tmp_path):
    run = Bench(tmp_path, ("n < 5",)).begin()
    run.sample(1, counters={"n": 10})
    assert run.results.aborted == ""


def test_thresholds_are_not_checked_during_warm_up(tmp_path):
    run = Bench(tmp_path, ("n < 5",), abort_after_s=0.0, warmup_s=1.5).begin()
    for second, count in ((1, 10), (2, 20), (3, 24), (4, 30)):
        run.sample(second, counters={"n": count})
        assert bool(run.results.aborted) is (second == 4)
    assert run.status.totals.window.counters == {"n": 10}


def test_abort_on_fail_without_thresholds_warns(tmp_path):
    run = Bench(tmp_path, abort_after_s=0.0)
    assert run.told == [("warning", "--abort-on-fail has no effect: there are no thresholds")]


def test_a_threshold_that_does_not_fit_its_metric_is_refused(tmp_path):
    with pytest.raises(UsageError, match="level"):
        Bench(tmp_path, ("level.p99 < 5",), declared=[("level", Kind.GAUGE)])


def test_crashes_are_reported_and_journalled_once_per_cause(tmp_path):
    run = Bench(tmp_path).begin()
    for user, cause in ((3, "KeyError: #"), (4, "KeyError: #"), (0, "OSError")):
        run.results.crashed(CrashSeen(0, cause, "Traceback …", user, cause.replace("#", "17")))
    assert [one["cause"] for one in run.entries("crash")] == ["KeyError: #", "OSError"]
    assert [text for level, text in run.told if level == "error"] == [
        "user 3 crashed, the first with this cause: KeyError: 17",
        "a task started by a user crashed, the first with this cause: OSError",
    ]


def test_a_blocking_line_is_reported_once_and_always_counted(tmp_path):
    run = Bench(tmp_path).begin()
    for _ in range(2):
        run.results.blocked(Blocked(0, "chat.py:9 in start", 1, 2 * S_NS, 2 * S_NS, "File …"))
    assert len([text for level, text in run.told if level == "warning"]) == 1
    assert run.files.facts.blocked["chat.py:9 in start"].times == 2


def test_blocking_lines_beyond_the_limit_are_combined(tmp_path):
    run = Bench(tmp_path).begin()
    for place in range(MAX_PLACES + 5):
        run.results.blocked(Blocked(0, f"chat.py:{place}", 1, S_NS, S_NS, "File …"))
    found = run.files.facts.blocked
    assert len(found) == MAX_PLACES + 1
    assert found[OTHERS].times == 5


def test_a_journal_deleted_during_the_run_makes_it_incomplete(tmp_path):
    run = Bench(tmp_path).begin()
    run.sample(1, counters={"n": 10})
    run.left.journal.unlink()
    outcome = run.end()
    assert outcome.exit_code == ExitCode.INCOMPLETE
    assert outcome.summary["run"]["reasons"] == [
        "journal.jsonl: it was deleted during the run",
        "without that, the verdict would be: no criteria",
    ]


@pytest.mark.parametrize(
    ("name", "code", "verdict"),
    [
        ("report", ExitCode.RESOURCE, "no criteria"),
        ("junit", ExitCode.RESOURCE, "no criteria"),
        ("summary", ExitCode.INCOMPLETE, "incomplete"),
    ],
)
def test_an_unwritable_result_file_is_reported_and_sets_the_exit_code(
    tmp_path, name, code, verdict
):
    run = Bench(tmp_path).begin()
    run.sample(1)
    getattr(run.left, name).mkdir()
    outcome = run.end()
    assert (outcome.exit_code, outcome.summary["run"]["verdict"]) == (code, verdict)
    assert any("cannot be written" in text for level, text in run.told if level == "warning")
