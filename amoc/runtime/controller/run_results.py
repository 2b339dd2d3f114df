"""The account of a run: what was measured, what is thought of it, and what is left of that.

Measuring makes seconds; judging, exporters and the files of the run's directory live on them. When
the run is over they become a summary and a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from amoc.base import pause, redaction
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, ExitCode
from amoc.base.versions import versions
from amoc.ipc.messages import Loaded, Ready, Sample, SettingInfo
from amoc.results import exporters
from amoc.results.exporters import Exporter, RunInfo
from amoc.results.series import ThrottlePoint
from amoc.results.summary import window_of
from amoc.runtime.controller.incidents import Incidents
from amoc.runtime.controller.judging import Judging
from amoc.runtime.controller.measuring import Measuring
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.status import Outcome, Status
from amoc.scenario.run_plan import RunPlan

EXPORT_S = 2.0
"""How long exporters may take together to pass on what is left, once the run is over."""


class RunResults:
    """Keeps the account of one run.

    Attributes:
        troubles: What went wrong with users.
    """

    def __init__(
        self,
        status: Status,
        records: RunFiles,
        say: Callable[[str, str], None],
        throttles: Callable[[], Mapping[str, ThrottlePoint]],
    ) -> None:
        """Open an account.

        Args:
            status: How the run is; its plan is known.
            records: What the run leaves.
            say: Takes what the operator should read: a level and a line.
            throttles: What each throttle is configured for now.

        Raises:
            UsageError: What the operator expects of the run makes no sense.
        """
        assert status.plan is not None
        self._plan: RunPlan = status.plan
        self._status = status
        self._records = records
        self._say = say
        self._throttles = throttles
        self._measuring = Measuring(status, records, self._plan.warmup_s, throttles)
        self._judging = Judging(self._plan, status, self._measuring.window, say)
        self._measuring.judge = self._judging.take
        self._exporters: list[Exporter] = []
        self._begun_ns = 0
        self.troubles = Incidents(records.write, say)

    def loaded(self, loaded: Loaded) -> None:
        """The scenario is there with its settings.

        Raises:
            ResourceError: An exporter cannot do its work.
        """
        self._judging.loaded(loaded)
        values = {name: value for name, value, *_ in loaded.settings}
        run = RunInfo(self._status.run_id, loaded.name)
        self._exporters = exporters.start(values, run, lambda text: self._say("warning", text))
        self._measuring.listeners = self._exporters

    def ready(self, ready: Ready) -> None:
        """init() has returned.

        Raises:
            UsageError: What is expected of a metric does not fit it.
        """
        self._judging.ready(ready)

    def begin(self, at_ns: int) -> None:
        """The first user may start."""
        self._begun_ns = at_ns
        self._measuring.begin(at_ns)
        self.annotate("run begins", self._plan.comment, "begin")

    def stop(self, at_ns: int) -> None:
        """Users are asked to stop."""
        self._measuring.stop(at_ns)

    def take(self, node: str, sample: Sample) -> None:
        """Take a sample of `node`."""
        if self._begun_ns:
            self._status.elapsed_s = (now_ns() - self._begun_ns) / S_NS
            self._status.paused_s = pause.paused_ns() / S_NS
        self._measuring.take(node, sample)

    def beat(self) -> None:
        """Be in time also where no sample comes; to be a greenlet of its own."""
        self._measuring.beat()

    def annotate(self, what: str, comment: str, *tags: str) -> None:
        """Tell exporters that something has happened to the run."""
        text = f"{what}: {comment}" if comment else what
        for exporter in self._exporters:
            exporter.annotate(text, ("amoc", *tags), time.time())

    @property
    def lost(self) -> str:
        """Why the run is to end before its time; empty while it is not."""
        return self._judging.lost

    def close(self) -> None:
        """The last sample has come; pass on what is left."""
        self._measuring.end()
        self.annotate("run ends", "", "end")
        closing = [gevent.spawn(one.close, EXPORT_S) for one in self._exporters]
        gevent.joinall(closing, timeout=EXPORT_S + 1.0)

    def outcome(self, run: Mapping[str, Any], ended: str, failure: AmocError | None) -> Outcome:
        """What has come of the run.

        Args:
            run: The summary's first part, as far as the verdict is not in it.
            ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
            failure: What went wrong.
        """
        code = failure.exit_code if failure is not None else ExitCode.OK
        message = str(failure) if failure is not None else ""
        if not self._begun_ns:
            return Outcome(code, message, None)
        verdict = self._judging.judge(ended, code, message)
        head = {
            **run,
            "warmup_s": self._plan.warmup_s,
            "verdict": verdict.verdict,
            "exit_code": int(verdict.exit_code),
            "reasons": list(verdict.reasons),
            "notes": [*self._judging.notes(), *self._records.notes()],
        }
        return Outcome(verdict.exit_code, message, self._summary(head))

    def _summary(self, head: Mapping[str, Any]) -> dict[str, Any]:
        figures, loaded = self._status.figures, self._status.loaded
        summary = figures.summary(head, self._throttles())
        summary["crashes"] = self.troubles.crashes(figures.crashes())
        summary |= {
            "versions": versions(),
            "settings": [_setting(*one) for one in (loaded.settings if loaded is not None else ())],
            **self._judging.summary(),
            "blocked": self.troubles.places(),
        }
        if self._plan.warmup_s:
            summary["window"] = window_of(self._measuring.window.all)
        return summary


def _setting(name: str, value: str, *more: str) -> dict[str, str]:
    """A setting as files may have it: of a secret not even the default."""
    value = redaction.HIDDEN if redaction.is_secret(name) else value
    return dict(zip(SettingInfo._fields, (name, value, *more), strict=True))
