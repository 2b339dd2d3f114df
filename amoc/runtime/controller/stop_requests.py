"""Who has told the run to stop, by no command: signals, or the scenario itself."""

from __future__ import annotations

from amoc.base import process
from amoc.base.errors import AmocError, ExitCode
from amoc.base.operator_log import OperatorLog
from amoc.results.replay import SCENARIO
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.run_results import RunResults
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status
from amoc.scenario.run_plan import RunPlan

ORPHANED = "the server or the program that had started the run was killed"


class Interrupted(AmocError):
    """The operator wants the run to end at once."""

    exit_code = ExitCode.INTERRUPTED


class StopRequests:
    """Notes them, and tells the operator and the journal.

    Attributes:
        signals: How many signals have come.
    """

    def __init__(
        self,
        plan: RunPlan,
        status: Status,
        files: RunFiles,
        results: RunResults,
        operator: OperatorLog,
    ) -> None:
        """Stop the run of `plan`, which is at `status`."""
        self.signals = 0
        self._plan = plan
        self._status = status
        self._files = files
        self._results = results
        self._operator = operator

    def by_signal(self) -> None:
        """A signal has come: the first asks users to finish, the second ends the run at once."""
        self.signals += 1
        if self._graceful() and self.signals == 1:
            why = ORPHANED if process.parent_died else ""
            self._results.stopped_because = self._results.stopped_because or why
            self._write_down("signal", why)
            timeout = f"{self._plan.stop_timeout_s:g} s"
            self._operator.info(
                f"stopping: users have {timeout} to finish; press Ctrl-C again to stop at once"
            )

    def by_scenario(self, reason: str) -> bool:
        """The scenario ends the run; whether this is the first time, which counts."""
        if self._results.stopped_because:
            return False
        self._results.stopped_because = f"the scenario ended the run: {reason}"
        self._operator.info(f"stopping: the scenario ends the run: {reason}")
        self._write_down(SCENARIO, reason)
        return True

    def check(self, begun: bool) -> None:
        """Raise if the run is to end at once; `begun` says whether users have started.

        Raises:
            Interrupted: It is.
        """
        if self.signals > (1 if self._graceful() else 0):
            lacking = "; the last second of metrics may be missing" if begun else ""
            raise Interrupted(f"stopped at once{lacking}")

    def _graceful(self) -> bool:
        return self._status.state in (State.RUNNING, State.PAUSED, State.STOPPING)

    def _write_down(self, source: str, comment: str) -> None:
        told = {"arguments": {}, "outcome": "ok", "answer": {}}
        self._files.write("command", name="stop", source=source, comment=comment, **told)
