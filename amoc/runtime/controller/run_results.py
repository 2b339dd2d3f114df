"""What a run shows: samples come in, seconds of it go out, and at its end a summary and a verdict.

Each second is added to the run's totals, written to its series, shown to exporters, and held
against the thresholds and the limits of the generator. What decides is pure
(`amoc.results.run_totals`, `amoc.results.thresholds`, `amoc.results.verdict`); here it is fed.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import gevent
from gevent import get_hub
from gevent.lock import BoundedSemaphore

from amoc.base import pause, ticks
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ExitCode, UsageError
from amoc.base.operator_log import OperatorLog
from amoc.base.periodic_yield import PeriodicYield
from amoc.base.waiting import Notify
from amoc.ipc.messages.lifecycle import Loaded, Ready, WorkerLost
from amoc.ipc.messages.samples import Sample, cells_in
from amoc.ipc.messages.users import Blocked, CrashSeen, FailureSeen
from amoc.metrics.area import Kind
from amoc.metrics.numpy_loading import load_for
from amoc.metrics.reserved import ARRIVALS, DROPPED
from amoc.metrics.step_names import OTHER
from amoc.results import exporters, message_account, verdict
from amoc.results.arrival_totals import with_dropped
from amoc.results.exporters import Exporter, RunInfo
from amoc.results.per_second import MAX_NS, Moment, PointCutter
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, ThrottlePoint
from amoc.results.thresholds import threshold
from amoc.results.thresholds.abort import AbortOnFail
from amoc.results.thresholds.threshold import Result, Threshold
from amoc.runtime.controller.loop_lag import LoopLag
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.status import Outcome, Status
from amoc.runtime.stall_causes import MAX_PLACES, OTHERS, sentence_of
from amoc.scenario.run_plan import RunPlan
from amoc.steps.recorder import MAX_CAUSES

EXPORT_S = 2.0
"""How long exporters may take together to pass on what is left, once the run is over."""


class RunResults:
    """Measures one run and judges it.

    Attributes:
        aborted: Why the run should end before its time; empty while it should not.
        stopped_because: Why the run ends, where that is neither its plan nor the operator.
        due: How many iterations were to begin, where an arrival rate says so; known at the end.
    """

    def __init__(
        self,
        status: Status,
        files: RunFiles,
        operator: OperatorLog,
        throttles: Callable[[int], Mapping[str, ThrottlePoint]],
        untaken: Callable[[], int],
        round_trip_s: Callable[[], float],
    ) -> None:
        """Measure and judge a run.

        Args:
            status: How the run is, its plan included; kept up to date.
            files: What the run leaves.
            operator: Told of crashes, stalls, thresholds and exporters.
            throttles: What each throttle was configured for up to a time, since the last call.
            untaken: How many iterations of an arrival rate no user was free for, since that.
            round_trip_s: How far the farthest node is, see `Point`.

        Raises:
            UsageError: A threshold of the operator makes no sense.
        """
        assert status.plan is not None
        self._plan: RunPlan = status.plan
        self._status = status
        self._files = files
        self._operator = operator
        self._throttles, self._untaken, self._round_trip_s = throttles, untaken, round_trip_s
        plan = self._plan
        others = plan.stages.highest if plan.stages is not None else len(plan.users)
        status.totals = RunTotals.planned(plan.warmup_s, plan.stages, plan.arrivals, others)
        self._seconds = PointCutter(status.samples)
        self._thresholds = threshold.of_run(self._plan.thresholds, (), "")
        after_s = self._plan.abort_after_s
        self._abort = AbortOnFail(after_s) if after_s is not None else None
        self.aborted = self.stopped_because = ""
        self.due = 0
        self._exporters: Sequence[Exporter] = ()
        self._cpu_s = time.process_time()
        self._begun_ns = self._stopped_ns = self._cut_at_ns = 0
        self._lag = LoopLag()
        # Rings for a second of which no sample comes.
        self._overdue = get_hub().loop.timer(MAX_NS / S_NS, MAX_NS / S_NS)
        self._deaths: Counter[str] = Counter()
        self._heard: deque[tuple[str, Sample, Callable[[], None]]] = deque()
        self._cells = 0  # of timers, that all nodes have told in this second
        self._news = Notify()
        self._working = BoundedSemaphore()
        self._closed = False
        self._yield_if_due = PeriodicYield()

    # The run's phases

    def loaded(self, loaded: Loaded) -> None:
        """The scenario is there with its settings and its thresholds.

        Raises:
            ResourceError: An exporter cannot do its work.
        """
        self._thresholds = threshold.of_run(self._plan.thresholds, loaded.thresholds, loaded.name)
        if self._abort is not None and not self._thresholds:
            self._operator.warning("--abort-on-fail has no effect: there are no thresholds")
        values = {name: value for name, value, *_ in loaded.settings}
        run = RunInfo(self._status.run_id, loaded.name)
        self._exporters = exporters.start(values, run, self._operator.warning)

    def ready(self, ready: Ready) -> None:
        """init() has returned; what it and the scenario have declared is known.

        Raises:
            UsageError: A threshold does not fit the kind of its metric.
        """
        metrics = list(ready.metrics)
        if self._plan.arrivals is not None:
            metrics += [(ARRIVALS, Kind.COUNTER), (DROPPED, Kind.COUNTER)]
        self._files.write("metrics", declared=metrics)
        known = threshold.known_of(metrics)
        self._status.totals.known |= known
        wrong, doubtful = threshold.misfits(self._thresholds, known)
        if wrong:
            raise UsageError("\n".join(wrong))
        for text in doubtful:
            self._operator.warning(text)

    def begin(self, at_ns: int) -> None:
        """The first user may start."""
        self._seconds.begin(at_ns)
        self._begun_ns = self._cut_at_ns = at_ns
        self._cpu_s = time.process_time()
        self._overdue.again(self._news.ring)
        self.annotate("run begins", self._plan.comment, "begin")

    def stop(self, at_ns: int) -> None:
        """Users are asked to stop; what they do from now on is the end of the run."""
        self._stopped_ns = at_ns

    def close(self) -> None:
        """The last sample has come; pass on what is left."""
        with self._working:
            self._closed = True  # no second is cut beside the last one, nor after it
            self._take_heard()
            if self._seconds.heard:
                self._cut()
            # What the last sample said may have ended a second of its own; only then it is known.
            if more := self._unaccounted(self._status.totals.whole.counters):
                self._cut(more)
            self._overdue.close()
        self.annotate("run ends", "", "end")
        closing = [gevent.spawn(one.close, EXPORT_S) for one in self._exporters]
        gevent.joinall(closing, timeout=EXPORT_S + 1.0)

    def _unaccounted(self, counters: Mapping[str, int]) -> dict[str, int]:
        """What nobody has counted, and can be known now."""
        more = dict(message_account.unaccounted(counters))
        if (dropped := self.due - counters.get(ARRIVALS, 0) - counters.get(DROPPED, 0)) > 0:
            more[DROPPED] = dropped  # by a worker that has died
        return more

    def end(self, ended: str, failure: AmocError | None, at_ns: int) -> Outcome:
        """Judge the run, and leave its files.

        Args:
            ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
            failure: What went wrong.
            at_ns: When the run was over.
        """
        code = failure.exit_code if failure is not None else ExitCode.OK
        message = str(failure) if failure is not None else ""
        if not self._begun_ns:
            self._files.write(
                "end", verdict=ended, exit_code=int(code), message=message, reasons=[]
            )
            self._files.discard()
            return Outcome(code, message, None)
        totals = self._status.totals
        found = verdict.judge(
            ended,
            [result for _, result in self._results()],
            totals.health.limited,
            self._plan.limited_ok,
            deaths=self._deaths,
            aborted=self.aborted,
            stopped=self.stopped_because,
            futile="" if self._plan.failures_ok else totals.futile(ended == "stopped"),
            findings=[one["text"] for one in totals.health.findings()],
            failure=message,
            code=code,
        )
        found = verdict.incomplete(found, self._files.missing())
        self._files.write(
            "end",
            verdict=found.verdict,
            exit_code=found.exit_code,
            message=message,
            reasons=found.reasons,
            notes=totals.notes(),
            records=self._files.records,
            duration_s=round((at_ns - self._begun_ns) / S_NS, 3),
            paused_s=round(pause.clock.paused_ns() / S_NS, 3),
        )
        summary, exit_code = self._files.end(totals)
        return Outcome(exit_code, message, summary)

    # What comes in

    def handle(self, node: str, sample: Sample, taken: Callable[[], None]) -> None:
        """A sample of `node` has come: it is taken soon, and what it says is then known.

        Args:
            node: The node's name.
            sample: What it says.
            taken: Called then.
        """
        self._heard.append((node, sample, taken))
        self._news.ring()

    def work(self) -> None:
        """Take what was heard, and cut seconds that are over.

        Merging a sample of thousands of timers takes a while. It is done in parts, and this is a
        greenlet of its own, so that other reports need not wait. Returns once `close` is called.
        """
        while not self._closed:
            self._news.wait()
            with self._working:
                if not self._closed:
                    self._take_heard()
                    self._cut_if_over()

    def _take_heard(self) -> None:
        self._yield_if_due.begin()
        while self._heard:
            node, sample, taken = self._heard.popleft()
            self._cells += cells_in(sample)
            load_for(self._cells)
            self.take(node, sample)
            taken()

    def take(self, node: str, sample: Sample) -> None:
        """Take a sample of `node` at once."""
        if self._begun_ns:
            self._status.elapsed_s = (now_ns() - self._begun_ns) / S_NS
            self._status.paused_s = pause.clock.paused_ns() / S_NS
        self._status.samples.take(node, sample, self._yield_if_due)
        self._cut_if_over()

    def crashed(self, crash: CrashSeen) -> None:
        """A worker has seen a cause for the first time."""
        if crash.cause in self._files.facts.crashes:
            return
        self._files.write(
            "crash", cause=crash.cause, user_id=crash.user_id, traceback=crash.traceback
        )
        who = f"user {crash.user_id}" if crash.user_id else "what a user had begun"
        text = crash.headline or crash.cause
        self._operator.error(f"{who} crashed, the first with this cause: {text}", crash.traceback)

    def failed(self, one: FailureSeen) -> None:
        """A worker has seen a step fail for a cause for the first time."""
        if one.cause in self._files.facts.failures.get(one.step, {}):
            return
        told = one._asdict()
        self._files.write("failure", **{key: told[key] for key in told if key != "worker"})
        if one.cause == OTHER:
            self._operator.warning(
                f"step {one.step} fails for more than {MAX_CAUSES} causes; the others count as"
                f" {OTHER!r}: is there a number or a name in the cause? This one is {one.message}"
            )

    def worker_lost(self, lost: WorkerLost) -> None:
        """A worker has died that was not asked to."""
        self._deaths[lost.reason] += 1

    def node_lost(self, name: str, reason: str, lost: int) -> None:
        """A node is no more, for some reason; so many of its users are lost with it."""
        with self._working:
            self._take_heard()
            self._status.samples.lose(name, lost)
        self._deaths[reason] += 1

    def blocked(self, one: Blocked) -> None:
        """A line of the scenario has kept a worker from turning its loop."""
        known = self._files.facts.blocked
        if one.place not in known and len(known) >= MAX_PLACES:
            one = one._replace(place=OTHERS, trace="")
        new = one.place not in known
        self._files.write("blocked", **one._asdict())
        if new:
            self._operator.warning(sentence_of(one), one.trace)

    def beat(self) -> None:
        """Note how late this process's loop turns, for ever; to be a greenlet of its own."""
        while True:
            self._lag.wait()

    def annotate(self, what: str, comment: str, *tags: str) -> None:
        """Tell exporters that something has happened to the run."""
        text = f"{what}: {comment}" if comment else what
        for exporter in self._exporters:
            exporter.annotate(text, ("amoc", *tags), time.time())

    # Seconds

    def _cut_if_over(self) -> None:
        if self._seconds.over(now_ns()):
            self._cut()

    def _cut(self, more: Mapping[str, int] | None = None) -> None:
        """End a second; `more` is added to its counters."""
        at_ns, cpu_s = now_ns(), time.process_time()
        end_ns, span_s = self._seconds.end_ns(at_ns), (at_ns - self._cut_at_ns) / S_NS
        moment = Moment(
            at=time.time() - (at_ns - end_ns) / S_NS,
            ran_ns=self._ran_ns(end_ns),
            state=self._status.state.value,
            waiting=self._status.users["waiting"],
            throttles=self._throttles(min(end_ns, self._stopped_ns or end_ns)),
            controller_cpu=round((cpu_s - self._cpu_s) / span_s, 4) if span_s > 0 else 0.0,
            controller_lag_s=self._lag.take_s(),
            round_trip_s=self._round_trip_s(),
        )
        point = self._seconds.cut(end_ns, moment)
        if point is None:
            return
        if self._plan.arrivals is not None:
            point = with_dropped(point, self._untaken())
        if more is not None:
            point = replace(point, counters={**point.counters, **more}, late=())
        self._cut_at_ns, self._cpu_s, self._cells = at_ns, cpu_s, 0
        self._overdue.again(self._news.ring)
        self._status.points.append(point)
        for text in self._status.totals.add(point, yield_if_due=self._yield_if_due):
            self._operator.warning(text)
        self._files.write_second(point)
        self._hold_against_thresholds(point)
        for exporter in self._exporters:
            exporter.take(point, self._status.totals.whole)
        ticks.align(now_ns())

    def _ran_ns(self, at_ns: int) -> int:
        """For how long the run had been running at `at_ns`, which is now or a moment ago."""
        until_ns = min(at_ns, self._stopped_ns or at_ns)
        return max(0, until_ns - self._begun_ns - pause.clock.paused_ns())

    def _hold_against_thresholds(self, point: Point) -> None:
        window = self._status.totals.window
        if not self._thresholds or window.last is not point:
            return
        results = self._results()
        self._status.thresholds = [(one.text, result) for one, result in results]
        if self._abort is None or not point.active_s or self.aborted:
            return
        if why := self._abort.look(window.active_s, results, self._status.totals.known):
            planned_s = self._plan.duration_s
            of = f" of {format_duration(planned_s)}" if planned_s is not None else ""
            after = f"{format_duration(point.t_s)}{of} (--abort-on-fail)"
            self.aborted = f"{verdict.ABORTED} after {after}: {'; '.join(why)}"

    def _results(self) -> list[tuple[Threshold, Result]]:
        totals = self._status.totals
        return [(one, one.evaluate(totals.window, totals.known)) for one in self._thresholds]
