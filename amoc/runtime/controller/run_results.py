"""The results of a run: from samples to seconds, and at the end a summary and a verdict.

Each second is added to the run's totals, written to its series, passed to exporters, and checked
against the thresholds and the limits of the load generator. The decisions are pure functions
(`amoc.results.run_totals`, `amoc.results.thresholds`, `amoc.results.verdict`), called from here.
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
from amoc.base.node_latency import NodeLatency
from amoc.base.operator_log import OperatorLog
from amoc.base.periodic_yield import PeriodicYield
from amoc.base.targets import MAX_TARGETS
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
"""How long all exporters together may take to send what is left, once the run is over."""


class RunResults:
    """Measures one run and judges it.

    Attributes:
        aborted: Why the run should end early; empty if it should not.
        stopped_because: Why the run ends, if neither by its plan nor by the operator.
        due: How many iterations an arrival rate required; known at the end.
    """

    def __init__(self, status: Status, files: RunFiles, operator: OperatorLog) -> None:
        """Measure and judge a run.

        Args:
            status: The run's status, with its plan; kept up to date.
            files: The files of the run.
            operator: Told of crashes, stalls, thresholds and exporters.

        Raises:
            UsageError: A threshold given by the operator is invalid.
        """
        assert status.plan is not None
        self._plan: RunPlan = status.plan
        self._status = status
        self._files = files
        self._operator = operator
        plan = self._plan
        others = plan.stages.highest if plan.stages is not None else len(plan.users)
        status.totals = RunTotals.planned(plan.warmup_s, plan.stages, plan.arrivals, others)
        self._seconds = PointCutter(status.samples)
        self._thresholds = threshold.of_run(self._plan.thresholds, (), "")
        after_s = self._plan.abort_after_s
        self._abort = AbortOnFail(after_s) if after_s is not None else None
        self.aborted = self.stopped_because = ""
        self.due = 0
        self._notes: Sequence[str] = ()
        self._exporters: Sequence[Exporter] = ()
        self._cpu_s = time.process_time()
        self._begun_ns = self._stopped_ns = self._cut_at_ns = 0
        self._lag = LoopLag()
        # Rings for a second for which no sample arrives.
        self._overdue = get_hub().loop.timer(MAX_NS / S_NS, MAX_NS / S_NS)
        self._deaths: Counter[str] = Counter()
        self._queued: deque[tuple[str, Sample, Callable[[], None]]] = deque()
        self._cells = 0  # of timers, in the samples of all nodes in this second
        self._news = Notify()
        self._working = BoundedSemaphore()
        self._closed = False
        self._yield_if_due = PeriodicYield()

    # The run's phases

    def loaded(self, loaded: Loaded) -> None:
        """Record that the scenario is loaded, with its settings and thresholds.

        Raises:
            ResourceError: An exporter cannot start.
        """
        self._thresholds = threshold.of_run(self._plan.thresholds, loaded.thresholds, loaded.name)
        if self._abort is not None and not self._thresholds:
            self._operator.warning("--abort-on-fail has no effect: there are no thresholds")
        values = {name: value for name, value, *_ in loaded.settings}
        run = RunInfo(self._status.run_id, loaded.name)
        self._exporters = exporters.start(values, run, self._operator.warning)

    def ready(self, ready: Ready) -> None:
        """Record what init() and the scenario have declared.

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
        self._notes = ready.notes
        for text in (*doubtful, *self._notes):
            self._operator.warning(text)

    def begin(
        self,
        at_ns: int,
        throttles: Callable[[int], Mapping[str, ThrottlePoint]],
        untaken: Callable[[], int],
        latency: NodeLatency,
    ) -> None:
        """Start measuring: users may start.

        Args:
            at_ns: The time.
            throttles: Returns the throttles' counts since the last call, up to a time.
            untaken: Returns how many iterations found no free user since the last call.
            latency: The round trip to the farthest node.
        """
        self._throttles, self._untaken, self._latency = throttles, untaken, latency
        self._status.targets = self._files.facts.targets
        self._seconds.begin(at_ns)
        self._begun_ns = self._cut_at_ns = at_ns
        self._cpu_s = time.process_time()
        self._overdue.again(self._news.ring)
        self.annotate("run begins", self._plan.comment, "begin")

    def stop(self, at_ns: int) -> None:
        """Record that users are asked to stop; the run's steady part ends here."""
        self._stopped_ns = at_ns

    def close(self) -> None:
        """Process the last samples, and let exporters send what is left."""
        with self._working:
            self._closed = True  # no other greenlet cuts a second from now on
            self._process_queued()
            if self._seconds.has_samples:
                self._cut()
            # The last sample may have ended its own second; only then are these counts complete.
            if more := self._unaccounted(self._status.totals.whole.counters):
                self._cut(more)
            self._overdue.close()
        self.annotate("run ends", "", "end")
        closing = [gevent.spawn(one.close, EXPORT_S) for one in self._exporters]
        gevent.joinall(closing, timeout=EXPORT_S + 1.0)

    def _unaccounted(self, counters: Mapping[str, int]) -> dict[str, int]:
        """Return counts that no process has recorded, but that can be derived now."""
        more = dict(message_account.unaccounted(counters))
        if (dropped := self.due - counters.get(ARRIVALS, 0) - counters.get(DROPPED, 0)) > 0:
            more[DROPPED] = dropped  # by a worker that died
        return more

    def end(self, ended: str, failure: AmocError | None, at_ns: int) -> Outcome:
        """Judge the run, and write its files.

        Args:
            ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
            failure: The error that ended the run, if any.
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
            notes=[*self._notes, *totals.notes()],
            records=self._files.records,
            duration_s=round((at_ns - self._begun_ns) / S_NS, 3),
            paused_s=round(pause.clock.paused_ns() / S_NS, 3),
        )
        summary, exit_code = self._files.end(totals)
        return Outcome(exit_code, message, summary)

    # Reports

    def handle(self, node: str, sample: Sample, taken: Callable[[], None]) -> None:
        """Queue a sample of `node`, to be processed soon.

        Args:
            node: The node's name.
            sample: The sample.
            taken: Called when it has been processed.
        """
        self._queued.append((node, sample, taken))
        self._news.ring()

    def work(self) -> None:
        """Process queued samples, and cut seconds that are over; return after `close`.

        Merging a sample of thousands of timers takes a while. It is done in pieces in its own
        greenlet, so that other reports need not wait.
        """
        while not self._closed:
            self._news.wait()
            with self._working:
                if not self._closed:
                    self._process_queued()
                    self._cut_if_over()

    def _process_queued(self) -> None:
        self._yield_if_due.begin()
        while self._queued:
            node, sample, taken = self._queued.popleft()
            self._cells += cells_in(sample)
            load_for(self._cells)
            self.take(node, sample)
            taken()

    def take(self, node: str, sample: Sample) -> None:
        """Process a sample of `node` at once."""
        if self._begun_ns:
            self._status.elapsed_s = (now_ns() - self._begun_ns) / S_NS
            self._status.paused_s = pause.clock.paused_ns() / S_NS
        self._status.samples.take(node, sample, self._yield_if_due)
        self._yield_if_due()
        self._cut_if_over()

    def crashed(self, crash: CrashSeen) -> None:
        """Record a crash with a cause that is new to its worker."""
        if crash.cause in self._files.facts.crashes:
            return
        self._files.write(
            "crash", cause=crash.cause, user_id=crash.user_id, traceback=crash.traceback
        )
        who = f"user {crash.user_id}" if crash.user_id else "a task started by a user"
        text = crash.headline or crash.cause
        self._operator.error(f"{who} crashed, the first with this cause: {text}", crash.traceback)

    def failed(self, one: FailureSeen) -> None:
        """Record a step's failure with a cause that is new to its worker."""
        if one.cause in self._files.facts.failures.get(one.step, {}):
            return
        told = one._asdict()
        self._files.write("failure", **{key: told[key] for key in told if key != "worker"})
        if one.cause == OTHER:
            self._operator.warning(
                f"step {one.step} has failed for more than {MAX_CAUSES} causes; the others count as"
                f" {OTHER!r}. Check that causes contain no numbers or names, as in: {one.message}"
            )

    def connects_to(self, address: str) -> None:
        """Record a server that users connect to."""
        facts = self._files.facts
        if address not in facts.servers and len(facts.servers) < MAX_TARGETS:
            self._files.write("target", address=address)
            self._status.targets = facts.targets

    def worker_lost(self, lost: WorkerLost) -> None:
        """Record the unexpected death of a worker."""
        self._deaths[lost.reason] += 1

    def node_lost(self, name: str, reason: str, lost: int) -> None:
        """Record the loss of a node and of `lost` users with it."""
        with self._working:
            self._process_queued()
            self._status.samples.lose(name, lost)
        self._deaths[reason] += 1

    def blocked(self, one: Blocked) -> None:
        """Record that a line of the scenario has blocked a worker's event loop."""
        known = self._files.facts.blocked
        if one.place not in known and len(known) >= MAX_PLACES:
            one = one._replace(place=OTHERS, trace="")
        new = one.place not in known
        self._files.write("blocked", **one._asdict())
        if new:
            self._operator.warning(sentence_of(one), one.trace)

    def beat(self) -> None:
        """Measure the lateness of this process's event loop, forever, in its own greenlet."""
        while True:
            self._lag.wait()

    def annotate(self, what: str, comment: str, *tags: str) -> None:
        """Tell exporters about an event of the run."""
        text = f"{what}: {comment}" if comment else what
        for exporter in self._exporters:
            exporter.annotate(text, ("amoc", *tags), time.time())

    # Seconds

    def _cut_if_over(self) -> None:
        if self._seconds.over(now_ns()):
            self._cut()

    def _cut(self, more: Mapping[str, int] | None = None) -> None:
        """End a second, once users may start; `more` is added to its counters."""
        if not self._begun_ns:
            return
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
            round_trip_s=self._latency.round_trip_ns / S_NS,
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
        self._check_thresholds(point)
        for exporter in self._exporters:
            exporter.take(point, self._status.totals.whole)
        ticks.align(now_ns())

    def _ran_ns(self, at_ns: int) -> int:
        """Return how long the run had been running at `at_ns`, which is now or a moment ago."""
        until_ns = min(at_ns, self._stopped_ns or at_ns)
        return max(0, until_ns - self._begun_ns - pause.clock.paused_ns())

    def _check_thresholds(self, point: Point) -> None:
        window = self._status.totals.window
        if not self._thresholds or window.last is not point:
            return
        results = self._results()
        self._status.thresholds = [(one.text, result) for one, result in results]
        if self._abort is None or not point.active_s or self.aborted:
            return
        if why := self._abort.reasons(window.active_s, results, self._status.totals.known):
            planned_s = self._plan.duration_s
            of = f" of {format_duration(planned_s)}" if planned_s is not None else ""
            after = f"{format_duration(point.t_s)}{of} (--abort-on-fail)"
            self.aborted = f"{verdict.ABORTED} after {after}: {'; '.join(why)}"

    def _results(self) -> list[tuple[Threshold, Result]]:
        totals = self._status.totals
        return [(one, one.evaluate(totals.window, totals.known)) for one in self._thresholds]
