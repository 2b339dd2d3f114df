"""``run``: runs a scenario from a program, and informs scenarios about their own run.

Scenarios import it, too, for `run.iteration`. So everything else is imported at the first call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amoc.client.options import Duration, Stages, UserIds, Value
    from amoc.client.result import RunResult


class Run:
    """``run("shop.py", users=100)`` runs a scenario; `iteration` is for a scenario's users."""

    def __call__(
        self,
        scenario: str | os.PathLike[str] | Mapping[str, int | str],
        *,
        users: int | None = None,
        user_ids: UserIds | None = None,
        stages: Stages | None = None,
        arrival_rate: str | None = None,
        max_users: int | None = None,
        duration: Duration | None = None,
        set: Mapping[str, Value] | None = None,
        expect: str | Sequence[str] = (),
        throttles: Mapping[str, str] | None = None,
        workers: int | None = None,
        config: str | os.PathLike[str] | None = None,
        allow_undeclared: bool = False,
        seed: int | None = None,
        comment: str | None = None,
        warmup: Duration | None = None,
        abort_on_fail: bool | Duration = False,
        init_timeout: Duration | None = None,
        stop_timeout: Duration | None = None,
        limited_ok: bool = False,
        failures_ok: bool = False,
        log_level: str | None = None,
        install: bool = True,
        locked: bool = False,
        run_dir: str | os.PathLike[str] | None = None,
        runs_dir: str | os.PathLike[str] = "amoc-runs",
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
        options: Sequence[str] = (),
    ) -> RunResult:
        """Run a scenario to its end: ``amoc run`` as a function.

        The run is a separate process tree. Nothing is patched or imported in this process. Ctrl-C
        stops the run gracefully, a second one at once. If this process dies, the run stops.

        Args:
            scenario: A Python file or an importable module; or several files with their numbers of
                users, ``{"buy.py": 10, "browse.py": 90}``, or loads, ``{"buy.py": "10/s"}``.
            users: Number of users; ids start at 1.
            user_ids: Ids of the users instead, such as ``range(501, 601)`` or ``"501-600"``.
            stages: Number of users over time: ``"30s:100,2m:1000"``, or such pairs.
            arrival_rate: Start iterations at this rate, ``"200/s"``, instead of running a number of
                users.
            max_users: Maximum number of concurrent users with an arrival rate.
            duration: Stop gracefully after this time; by default when all users have finished.
            set: Values of settings. They are not on the command line of the run.
            expect: Thresholds: ``"login.p95 < 200ms"``.
            throttles: Rates by throttle: ``{"orders": "10/s"}``.
            workers: Number of worker processes.
            config: A TOML file with settings.
            allow_undeclared: Accept settings that the scenario does not declare.
            seed: Seed of all random decisions.
            comment: Comment to store with the run.
            warmup: Initial period to exclude from thresholds and statistics.
            abort_on_fail: Abort when a threshold is violated, or has been for this long.
            init_timeout: Timeout for loading the scenario and for init().
            stop_timeout: Grace period for users to finish at the end.
            limited_ok: Do not fail the run because the load generator was too slow.
            failures_ok: Do not fail a run in which nothing succeeded.
            log_level: Lowest level to write to the logs in the run's directory.
            install: Whether to install missing dependencies of the scenario.
            locked: Refuse dependencies that are not locked with their hashes.
            run_dir: The run's directory, new or empty.
            runs_dir: Where to create it if `run_dir` is not given.
            env: Environment variables for the run, in addition to those of this process.
            on_line: Called with each line that the run prints; for example ``print``.
            options: Further options of ``amoc run``, as on its command line.

        Returns:
            Its result, whatever the verdict; see `RunResult.check`.

        Raises:
            AmocError: The run failed before a user could start: `UsageError`, `SettingError`,
                `ScenarioError`, `InitError`, `ResourceError` and others. It leaves no files.
            Stopped: This process was interrupted; `result` has the results up to then.
            TypeError: An argument has the wrong type.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        from amoc.client import local

        return local.carry_out(**given)

    @property
    def iteration(self) -> int:
        """Number of the calling user's iteration, unique in the run; starts at 1."""
        return self._number()

    @cached_property
    def _number(self) -> Callable[[], int]:
        from amoc.users.run import number

        return number


run = Run()
