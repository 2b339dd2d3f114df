"""Requests to stop the run other than commands: signals, and calls of the scenario."""

from __future__ import annotations

from amoc.base import process
from amoc.base.errors import AmocError, ExitCode
from amoc.results.replay import SCENARIO
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.run_state import State

ORPHANED = "the server or the program that started the run was killed"


class Interrupted(AmocError):
    """The operator wants the run to end at once."""

    exit_code = ExitCode.INTERRUPTED


class StopRequests:
    """Records stop requests, and reports them to the operator and the journal.

    Attributes:
        signals: How many signals have arrived.
    """

    def __init__(self, run: Run) -> None:
        self.signals = 0
        self._run = run

    def by_signal(self) -> None:
        """Process a signal: the first asks users to finish, the second ends the run at once."""
        self.signals += 1
        if self._graceful() and self.signals == 1:
            why = ORPHANED if process.parent_died else ""
            self._run.results.stopped_because = self._run.results.stopped_because or why
            self._record("signal", why)
            timeout = f"{self._run.plan.stop_timeout_s:g} s"
            self._run.operator.info(
                f"stopping: users have {timeout} to finish; press Ctrl-C again to stop at once"
            )

    def by_scenario(self, reason: str) -> bool:
        """Let the scenario end the run; return whether this is the first call, which counts."""
        if self._run.results.stopped_because:
            return False
        self._run.results.stopped_because = f"the scenario ended the run: {reason}"
        self._run.operator.info(f"stopping: the scenario ends the run: {reason}")
        self._record(SCENARIO, reason)
        return True

    def check(self, begun: bool) -> None:
        """Raise if the run must end at once; `begun` tells whether users have started.

        Raises:
            Interrupted: It must.
        """
        if self.signals > (1 if self._graceful() else 0):
            suffix = "; the last second of metrics may be missing" if begun else ""
            raise Interrupted(f"stopped at once{suffix}")

    def _graceful(self) -> bool:
        return self._run.status.state in (State.RUNNING, State.PAUSED, State.STOPPING)

    def _record(self, source: str, comment: str) -> None:
        fields = {"arguments": {}, "outcome": "ok", "answer": {}}
        self._run.files.write("command", name="stop", source=source, comment=comment, **fields)
