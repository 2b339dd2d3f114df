"""The summary is the same during a run, at its end, and rebuilt from the files it left."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.base.clock import S_NS
from amoc.ipc.messages.samples import Sample
from amoc.metrics.area import Kind, Merge
from amoc.metrics.board import UserState
from amoc.metrics.health_figures import WorkerPoint, sent_figures
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.workers_together import sent_together
from amoc.results import journal
from amoc.results.journal import Journal
from amoc.results.journal_facts import JournalFacts
from amoc.results.merge import SampleMerger
from amoc.results.per_second import Moment, PointCutter
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, ThrottlePoint
from amoc.results.store.reader import StoredSeries
from amoc.results.store.writer import SeriesWriter
from amoc.results.summary import make, rebuild, window_of
from amoc.results.warm_up import WarmUp

RATES = {"pages": ThrottlePoint(rate=1 / 3, interval_s=0.7, mode="run")}
THRESHOLDS = ["ttd.p99 < 1s", "sent.rate > 1/s", "level.max < 3", "never == 0", "crashes == 0"]


class Node:
    """The counts of a node so far."""

    def __init__(self, many: bool = False) -> None:
        self.many = many
        self.sequence = 0
        self.counters: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.ttd = Histogram()
        self.passed = ThrottleCounts()
        self.users: Counter[int] = Counter()
        self.level = self.lag_s = 0.0
        self.cpu_ns = self.incarnation = 0

    def happen(self, what: str, count: int, amount: float) -> None:
        match what:
            case "send":
                self.counters["sent"] += count
            case "crash":
                self.crashes[f"ValueError: {count % 3}"] += count
            case "record":
                durations = Histogram.of([int(amount * S_NS)] * count)
                self.ttd.add(durations.cells, durations.max_ns)
            case "pass":
                self.passed = self.passed.plus((2 * count, count, count % 2))
            case "start":
                self.users[UserState.RUNNING] += count
            case "leave":
                left = min(count, self.users[UserState.RUNNING])
                self.users[UserState.RUNNING] -= left
                self.users[UserState.FINISHED] += left
            case "work":
                self.lag_s = amount
                self.level = amount if count % 5 else float("inf")
                self.cpu_ns += int(amount * S_NS)
                self.incarnation += count % 2

    def sample(self, at_ns: int) -> Sample:
        self.sequence += 1
        timers = TimerBlock.of({"unused": Histogram(), "ttd": self.ttd})
        worker = WorkerPoint(
            "",
            0,
            self.incarnation,
            cpu=self.lag_s / 2,
            lag_p99_s=self.lag_s / 3,
            gc_s=self.lag_s / 9,
            users_peak=7,
            cpu_s=round(self.cpu_ns / S_NS, 6),
            max_rss_bytes=9,
            loop_lag_p99_s=self.lag_s / 7,
        )
        return Sample(
            sequence=self.sequence,
            at_ns=at_ns,
            users=dict(self.users),
            users_peak=self.users[UserState.RUNNING],
            counters={"never": 0, **self.counters},
            gauges={"level": (Merge.MAX, self.level, 1)},
            timers=timers.wire(),
            crashes=dict(self.crashes),
            throttles={"pages": self.passed},
            waiting={"pages": self.users[UserState.RUNNING]},
            workers=[sent_figures(worker)] if self.sequence % 3 or not self.many else [],
            alive=[worker.users],
            together=sent_together([worker]) if self.many else (),
            host=[self.lag_s / 3, 1, 1, 1, 1],
        )


class Run:
    """A run as measured by the controller, and as written to files."""

    def __init__(self, directory: Path, warmup_s: float) -> None:
        self.directory = directory
        self.now_ns = self.ran_ns = 0
        self.state = "running"
        self.nodes = [Node(), Node(many=True)]
        self.samples = SampleMerger()
        self.totals = RunTotals(WarmUp(warmup_s))
        self.facts = JournalFacts()
        self._cutter = PointCutter(self.samples)
        self._journal = Journal(directory / "journal.jsonl")
        self._series = SeriesWriter(directory / "series.amoc")
        plan = {"warmup_s": warmup_s, "thresholds": THRESHOLDS, "seed": 7, "comment": "tried"}
        self.write("run", id="a-run", scenario={"source": "x.py", "name": "x"}, plan=plan)
        self.write("metrics", declared=[("undeclared", Kind.TIMER)])
        self.now_ns = S_NS
        self._cutter.begin(self.now_ns)

    def write(self, kind: str, **fields: Any) -> None:
        self.facts.take(self._journal.write(kind, **fields))

    def go_on(self, ns: int) -> None:
        self.now_ns += ns
        self.ran_ns += ns if self.state == "running" else 0

    def turn(self, state: str) -> None:
        self.state = state
        self.write("state", state=state)

    def cut(self) -> None:
        moment = Moment(9.87654321, self.ran_ns, self.state, 3, RATES, 1 / 3, self.now_ns / 7e11)
        point = self._cutter.cut(self._cutter.end_ns(self.now_ns), moment)
        if point is not None:
            self.totals.add(point)
            self._series.write(point)

    def live(self, running: bool) -> Any:
        made = make(self.facts, self.totals, str(self.directory), running=running)
        return json.loads(json.dumps(made, allow_nan=False))

    def made_again(self, running: bool) -> Any:
        entries = journal.read(self.directory / "journal.jsonl")
        points = StoredSeries(self.directory / "series.amoc")
        made = rebuild("", str(self.directory), entries, points, running)
        return json.loads(json.dumps(made, allow_nan=False))


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["send", "crash", "record", "pass", "start", "leave", "work"]),
        st.integers(1, 9),
        st.floats(0, 10_000, allow_nan=False),
    ),
    st.tuples(st.just("sample"), st.sampled_from(["arrives", "is lost", "arrives late"])),
    st.tuples(st.just("time"), st.integers(1, 3 * S_NS)),
    st.tuples(st.just("second")),
    st.tuples(st.just("state"), st.sampled_from(["running", "paused", "stopping"])),
    st.tuples(st.just("blocked"), st.integers(0, 3), st.integers(1, 3 * S_NS)),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), STEPS), max_size=50), st.sampled_from([0.0, 1.5]))
def test_the_live_final_and_rebuilt_summaries_are_equal(steps, warmup_s):
    with tempfile.TemporaryDirectory() as directory:
        run, late = Run(Path(directory), warmup_s), []
        for number, (what, *arguments) in steps:
            match what, arguments:
                case "sample", [fate]:
                    sample = run.nodes[number].sample(run.now_ns)
                    late += [(number, sample)] if fate == "arrives late" else []
                    if fate == "arrives":
                        run.samples.take(f"node{number}", sample)
                case "time", [ns]:
                    run.go_on(ns)
                case "second", []:
                    run.cut()
                    assert run.live(running=True) == run.made_again(running=True)
                case "state", [state]:
                    run.turn(state)
                case "blocked", [line, ns]:
                    place = {"place": f"x.py:{line}", "longest_ns": ns, "trace": "" * line}
                    run.write("blocked", worker=number, times=1, total_ns=ns, **place)
                case _:
                    run.nodes[number].happen(what, *arguments)
                    if what == "crash":
                        cause = f"ValueError: {arguments[0] % 3}"
                        run.write("crash", cause=cause, user_id=4, traceback="Traceback …")
        for number, sample in late:
            run.samples.take(f"node{number}", sample)
        run.go_on(S_NS)
        for number, node in enumerate(run.nodes):
            run.samples.take(f"node{number}", node.sample(run.now_ns))
        run.cut()
        killed = run.live(running=False)
        assert killed == run.made_again(running=False)
        assert killed["run"]["verdict"] == "killed"
        run.write("end", verdict="ok", exit_code=0, message="", reasons=["so"], duration_s=9.9)
        whole = run.live(running=False)
        assert whole == run.made_again(running=False)
        counted = sum((node.counters for node in run.nodes), Counter())
        assert Counter(whole["counters"]) == counted
        durations = Histogram()
        for node in run.nodes:
            durations.add(node.ttd.cells, node.ttd.max_ns)
        assert whole["timers"]["ttd"]["count"] == durations.count
        assert whole["timers"]["ttd"]["max_s"] == durations.max_ns / 1e9


def test_a_rounded_point_is_read_back_unchanged_from_the_series():
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), 0.0)
        node = run.nodes[0]
        for what in ("send", "record", "pass", "start", "work"):
            node.happen(what, 3, 1 / 3)
        run.go_on(S_NS // 3)
        run.samples.take("node0", node.sample(run.now_ns))
        run.cut()
        point = run.totals.whole.last
        assert point is not None
        assert Point.from_json(json.loads(json.dumps(point.to_json()))) == replace(point, late=())
        assert point.workers[0].gc_s == round(1 / 27 / 3, 6)


def test_an_empty_run_has_a_summary():
    made = make(JournalFacts(), RunTotals(), "")
    assert made["users"]["started"] == 0
    assert made["timers"]["loop_lag"]["count"] == 0
    assert made["counters_per_s"] == {}
    json.dumps(made, allow_nan=False)


def test_throttles_have_a_separate_section_including_stopped_ones():
    samples, counts = SampleMerger(), ThrottleCounts(7, 5, 1)
    cutter = PointCutter(samples)
    cutter.begin(1)
    node = Node()
    node.passed = counts
    samples.take("node0", node.sample(S_NS)._replace(throttles={"a.b": counts, "gone": counts}))
    known = {"a.b": ThrottlePoint(rate=None, interval_s=60.0, mode="open")}
    point = cutter.cut(10 * S_NS + 1, Moment(0.0, 10 * S_NS, "running", 0, known, 0.0, 0.0))
    assert point is not None
    last = Point(t_s=11.0, span_s=1.0, state="stopping", throttles=known)
    common = {"requests": 7, "executions": 5, "missed": 1, "waiting": 0, "executions_per_s": 0.5}
    assert make(JournalFacts(), RunTotals.of([point, last]), "")["throttles"] == {
        "a.b": {"rate": None, "interval_s": 60.0, "mode": "open", **common},
        "gone": {"rate": 0.0, "interval_s": 0.0, "mode": "stopped", **common},
    }


def test_slots_missed_by_controller_and_workers_are_summed():
    samples = SampleMerger()
    cutter = PointCutter(samples)
    cutter.begin(1)
    sample = Node().sample(S_NS)._replace(throttles={"a": ThrottleCounts(7, 5, 1)})
    samples.take("node0", sample)
    known = {"a": ThrottlePoint(rate=600.0, interval_s=60.0, mode="run", missed=3, wanted=9.5)}
    point = cutter.cut(10 * S_NS + 1, Moment(0.0, 10 * S_NS, "running", 0, known, 0.0, 0.0))
    assert point is not None
    assert point.throttles["a"].counts == ThrottleCounts(7, 5, 4)
    assert point.throttles["a"].wanted == 9.5


def test_window_times_have_microseconds_and_run_times_milliseconds():
    points = [Point(t_s=n * 1.0001214, span_s=1.0001214) for n in range(1, 8)]
    window = window_of(RunTotals.of(points, 3.0).window)
    assert window["from_s"] == 3.000364
    assert window["duration_s"] == 4.000486
    assert window["active_s"] == 4.000486
    assert rebuild("a", "a", [], points, False)["run"]["duration_s"] == 7.001
