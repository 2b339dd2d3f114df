"""The controller's measuring: samples come in, seconds of the run go out.

Each second goes to the series file, to the sums of the whole run and of the window that the verdict
is about, to whoever judges the run, and to everybody else who wants to know of it (`Listener`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import gevent

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.ipc.messages import Sample
from amoc.results.per_second import Moment, PointCutter
from amoc.results.series import Point, Tally, ThrottlePoint, WarmUp, Window
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.status import Status

BEAT_S = 0.1


class Listener(Protocol):
    """Wants to know of each second."""

    def take(self, point: Point, total: Tally) -> None:
        """Take a second, and the sum of all up to it; never waits and never raises."""


class Measuring:
    """Makes seconds of samples.

    Attributes:
        window: What the verdict is about.
        judge: Gets each second, and whether it is in the window.
        listeners: Get each second, too.
    """

    judge: Callable[[Point, bool], object]

    def __init__(
        self,
        status: Status,
        records: RunFiles,
        warmup_s: float,
        throttles: Callable[[], Mapping[str, ThrottlePoint]],
    ) -> None:
        """Measure a run.

        Args:
            status: How the run is; kept up to date.
            records: Where seconds are written.
            warmup_s: What the verdict leaves out.
            throttles: What each throttle is configured for now.
        """
        self.window = Window(WarmUp(warmup_s))
        self.listeners: Sequence[Listener] = ()
        self._status = status
        self._records = records
        self._throttles = throttles
        self._seconds = PointCutter(status.figures)
        self._cpu_s = time.process_time()
        self._begun_ns = self._stopped_ns = self._cut_at_ns = 0
        self._lag_s = 0.0

    def begin(self, at_ns: int) -> None:
        """The first user may start."""
        self._seconds.begin(at_ns)
        self._begun_ns = self._cut_at_ns = at_ns

    def stop(self, at_ns: int) -> None:
        """Users are asked to stop; what they do from now on is the end of the run."""
        self._stopped_ns = at_ns

    def take(self, node: str, sample: Sample) -> None:
        """Take a sample of `node`."""
        self._status.figures.take(node, sample)
        self._cut_if_over()

    def beat(self) -> None:
        """Note how late this process's loop turns, and cut seconds that last too long."""
        while True:
            due_ns = now_ns() + int(BEAT_S * S_NS)
            gevent.sleep(BEAT_S)
            self._lag_s = max(self._lag_s, (now_ns() - due_ns) / S_NS)
            self._cut_if_over()

    def end(self) -> None:
        """The last sample has come; what it said goes out."""
        if self._seconds.heard:
            self._cut()

    def _cut_if_over(self) -> None:
        if self._seconds.over(now_ns()):
            self._cut()

    def _ran_ns(self, at_ns: int) -> int:
        """For how long the run had been running at `at_ns`, which is now or a moment ago."""
        until_ns = min(at_ns, self._stopped_ns or at_ns)
        return max(0, until_ns - self._begun_ns - pause.paused_ns())

    def _cut(self) -> None:
        at_ns, cpu_s = now_ns(), time.process_time()
        end_ns, span_s = self._seconds.end_ns(at_ns), (at_ns - self._cut_at_ns) / S_NS
        moment = Moment(
            at=time.time() - (at_ns - end_ns) / S_NS,
            ran_ns=self._ran_ns(end_ns),
            state=self._status.state.value,
            waiting=self._status.waiting,
            throttles=self._throttles(),
            controller_cpu=round((cpu_s - self._cpu_s) / span_s, 4) if span_s > 0 else 0.0,
            controller_lag_s=self._lag_s,
        )
        point = self._seconds.cut(end_ns, moment)
        if point is None:
            return
        self._cut_at_ns, self._cpu_s, self._lag_s = at_ns, cpu_s, 0.0
        self._status.points.append(point)
        self._status.total.add(point)
        self.judge(point, self.window.add(point))
        self._records.write_second(point)
        for listener in self.listeners:
            listener.take(point, self._status.total)
