"""What is thought of a run: while it goes on, and at its end.

Each second is looked at for signs that the generator is too slow, and for expectations that cannot
be met any more. At the end there is a verdict. What decides is pure
(`amoc.results.generator_health`, `amoc.results.thresholds.threshold`,
`amoc.results.thresholds.abort`, `amoc.results.verdict`); here it is fed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amoc.base.clock import format_duration
from amoc.base.errors import ExitCode, UsageError
from amoc.ipc.messages import Loaded, Ready
from amoc.metrics.board import Kind
from amoc.results import verdict
from amoc.results.generator_health import Health
from amoc.results.rate_shortfall import Shortfall
from amoc.results.series import Point, Window
from amoc.results.thresholds import threshold
from amoc.results.thresholds.abort import AbortOnFail
from amoc.results.thresholds.measure import Known
from amoc.results.thresholds.threshold import Result, Threshold
from amoc.results.verdict import Verdict
from amoc.runtime.controller.status import Status
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.start_rate import USER_RATE


class Judging:
    """Judges one run.

    Attributes:
        lost: Why the run should end now; empty while it should not.
    """

    def __init__(
        self, plan: RunPlan, status: Status, window: Window, say: Callable[[str, str], None]
    ) -> None:
        """Judge the run of `plan`.

        Args:
            plan: What is run.
            status: How it is; gets the results of expectations, second by second.
            window: What the verdict is about.
            say: Takes what the operator should read: a level and a line.

        Raises:
            UsageError: What the operator expects makes no sense.
        """
        self.lost = ""
        self._plan = plan
        self._status = status
        self._window = window
        self._say = say
        self._health = Health()
        self._shortfall = Shortfall(frozenset({USER_RATE}))
        self._declared: dict[str, Kind] = {}
        self._expected = threshold.gather((threshold.COMMAND_LINE, plan.expectations))
        after_s = plan.abort_after_s
        self._watchdog = AbortOnFail(after_s) if after_s is not None else None

    def loaded(self, loaded: Loaded) -> None:
        """The scenario is there, and may expect something, too."""
        self._expected = threshold.gather(
            (threshold.COMMAND_LINE, self._plan.expectations),
            (f"scenario {loaded.name}", loaded.expectations),
        )
        if self._watchdog is not None and not self._expected:
            self._say("warning", "--abort-on-fail has nothing to look at: nothing is expected")

    def ready(self, ready: Ready) -> None:
        """init() has returned; what it and the scenario have declared is known.

        Raises:
            UsageError: Something that is expected does not fit that.
        """
        self._declared = threshold.known_of(ready.metrics)
        wrong, doubtful = threshold.misfits(self._expected, self._declared)
        if wrong:
            raise UsageError("\n".join(wrong))
        for text in doubtful:
            self._say("warning", text)

    def take(self, point: Point, in_window: bool) -> None:
        """Look at the next second, which is in the window or is not."""
        if not in_window:
            return
        for text in self._health.take(point):
            self._say("warning", text)
        self._shortfall.take(point)
        if not self._expected:
            return
        known = self._known()
        results = self._evaluate(known)
        self._status.expectations = [(one.text, result) for one, result in results]
        if self._watchdog is not None and point.active_s > 0 and not self.lost:
            at_s = self._window.running.active_s
            why = self._watchdog.look(at_s, results, known)
            self.lost = f"{self._after(point.t_s)}: {'; '.join(why)}" if why else ""

    def _after(self, at_s: float) -> str:
        planned_s = self._plan.duration_s
        of = f" of {format_duration(planned_s)}" if planned_s is not None else ""
        return f"the run was aborted after {format_duration(at_s)}{of} (--abort-on-fail)"

    def results(self) -> list[tuple[Threshold, Result]]:
        """What has come of each expectation so far."""
        return self._evaluate(self._known())

    def _evaluate(self, known: Known) -> list[tuple[Threshold, Result]]:
        return [(one, one.evaluate(self._window, known)) for one in self._expected]

    def _known(self) -> Known:
        """All metrics that there are by now."""
        figures = self._status.figures
        return {
            **self._declared,
            **dict.fromkeys(figures.counters(), Kind.COUNTER),
            **dict.fromkeys(figures.gauges(), Kind.GAUGE),
            **dict.fromkeys(figures.timers(), Kind.TIMER),
        }

    def judge(self, ended: str, code: ExitCode, failure: str) -> Verdict:
        """The verdict.

        Args:
            ended: How the run ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
            code: The exit code of what went wrong.
            failure: What that was.
        """
        return verdict.judge(
            ended,
            [result for _, result in self.results()],
            self._health.limited,
            self._plan.limited_ok,
            aborted=self.lost,
            findings=[one.text for one in self._health.findings()],
            failure=failure,
            code=code,
        )

    def notes(self) -> list[str]:
        """What should be known about the figures, though it does not change the verdict."""
        return self._shortfall.notes()

    def summary(self) -> dict[str, Any]:
        """The parts of the summary that say why."""
        return {
            "expectations": [threshold.to_json(*one) for one in self.results()],
            "health": self._health.to_json(),
        }
