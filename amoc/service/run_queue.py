"""The run queue: starts runs at once, when there is room, or at their time.

Runs are also saved in files until they end (`amoc.service.job`), so the next server continues
where this one ended. Runs of the previous server that are still stopping keep their slots.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import gevent

from amoc.base.errors import ExitCode, os_error_as
from amoc.results.run_directory import RunDirectory, name_of_new
from amoc.results.run_list import FAILED, QUEUED, RUNNING, STARTING
from amoc.scenario import scenario_files
from amoc.service.cli_output import refusal
from amoc.service.job import Job, JobFiles
from amoc.service.problems import Problem, conflict, of_error, unavailable
from amoc.service.run_process import RunProcess
from amoc.service.start_bodies import ReplayBody, StartBody

log = logging.getLogger(__name__)

MAX_QUEUED = 100
MAX_FAILED = 50
BEGIN_S = 90.0
"""How long a start request waits for the run to load its scenario and run init()."""
STOP_S = 60.0
"""How long runs may take to stop when the server stops."""
ANSWERS_S = 0.1
"""Interval of checks whether a run of an earlier server still exists."""
POLL_S = 60.0
"""Maximum time between checks for due runs, in case the clock of this host is changed."""


class RunQueue:
    """The runs requested from this server, of which a limited number run in parallel.

    Attributes:
        on_begin: Called when a run starts.
        on_end: Called when a run has ended.
    """

    def __init__(
        self,
        base: Path,
        parallel: int,
        target_of: Callable[[StartBody | ReplayBody], Path],
        nodes_of: Callable[[StartBody | ReplayBody], Sequence[str]] = lambda _: (),
    ) -> None:
        """Restore the runs of an earlier server. None starts before `work`.

        Args:
            base: Directory of the directories of runs.
            parallel: Maximum number of runs at the same time.
            target_of: Returns the file of the scenario to run, or the directory of the run to
                repeat; raises a `Problem` if there is none.
            nodes_of: Returns additional options that select a run's nodes; raises a `Problem` if
                it may not use them.
        """
        self.parallel = parallel
        self.on_begin: Callable[[RunDirectory], None] = lambda _: None
        self.on_end: Callable[[], object] = lambda: None
        self._base = base
        self._target_of = target_of
        self._nodes_of = nodes_of
        self._files = JobFiles(base)
        self._jobs: dict[str, Job] = {}
        self._closing = False
        self._timer: gevent.Greenlet[[], None] | None = None
        for job in self._files.restore():
            if not self.has_begun(job):
                self._jobs[job.id] = job
            elif self._directory(job).answers():
                job.state, job.error = RUNNING, ""
                self._jobs[job.id] = job
                gevent.spawn(self._await_end, job)
            else:
                self._files.forget(job.id)

    def __iter__(self) -> Iterator[Job]:
        """Iterate over runs that wait, run, or failed to start, in the order of their requests."""
        return iter(tuple(self._jobs.values()))

    def __contains__(self, run: object) -> bool:
        return run in self._jobs

    def get(self, run: str) -> Job | None:
        """Return a run by id; None if it is not one of these."""
        return self._jobs.get(run)

    def has_begun(self, job: Job) -> bool:
        """Return whether the run's own directory has its state."""
        return self._directory(job).journal.exists()

    def _directory(self, job: Job) -> RunDirectory:
        return RunDirectory(self._base / job.id)

    # Starting.

    def start(self, body: StartBody | ReplayBody, scenario: str) -> Job:
        """Start a run, or queue it. Returns when its users may start, or it is queued.

        Args:
            body: The request.
            scenario: The scenario, for messages.

        Raises:
            Problem: The maximum number of runs is running, the queue is full, or the run failed to
                start.
        """
        self._target_of(body)
        now = datetime.now(UTC)
        busy = [one.id for one in self if one.is_active]
        later = body.at is not None and body.at > now
        if self._closing:
            raise unavailable("the server is shutting down")
        if len(busy) >= self.parallel and not (body.queue or later):
            few = "a run is" if len(busy) == 1 else f"{len(busy)} runs are"
            wait = "queue this one with queue=true (amoc run --queue)"
            raise conflict(f"{few} already running: {', '.join(busy)}; {wait}")
        if sum(one.state == QUEUED for one in self) >= MAX_QUEUED:
            raise conflict(f"the queue is full: {MAX_QUEUED} runs are waiting", "queue")
        job = Job(self._new_id(scenario, now), scenario, body, now)
        if later or len(busy) >= self.parallel:
            self._keep(job)
            self._jobs[job.id] = job
            self.work()
            return job
        self._jobs[job.id] = job
        job.awaited = True
        try:
            self._launch(job)
        except Problem:
            self.drop(job.id)
            raise
        self._await_begin(job)
        return job

    def work(self) -> None:
        """Start the runs that are due, while there is room. Schedules a call for the next one."""
        if self._timer is not None and self._timer is not gevent.getcurrent():
            self._timer.kill(block=False)
        self._timer = None
        # Looked up each time: a launch takes a while, and other greenlets may call this meanwhile.
        while (job := self._next()) is not None:
            wait_s = (job.due_at - datetime.now(UTC)).total_seconds()
            if wait_s > 0:
                self._timer = gevent.spawn_later(min(wait_s, POLL_S), self.work)
                return
            try:
                self._launch(job)
            except Problem as problem:
                self._fail(job, problem.detail)
            else:
                gevent.spawn(self._await_queued, job)

    def _next(self) -> Job | None:
        """Return the run to start next, now or later; None if there is none, or no room for it."""
        if self._closing or sum(one.is_active for one in self) >= self.parallel:
            return None
        waiting = (one for one in self if one.state == QUEUED)
        return min(waiting, key=lambda one: one.due_at, default=None)

    def _await_queued(self, job: Job) -> None:
        """Wait for the start of a run without a waiting client. `_ended` records a failure."""
        with suppress(Problem):
            self._await_begin(job)

    def _launch(self, job: Job) -> None:
        target, nodes = self._target_of(job.body), self._nodes_of(job.body)
        job.state = STARTING
        self._keep(job)
        with os_error_as(unavailable, "the run's process cannot be started"):
            self._base.mkdir(parents=True, exist_ok=True)
            job.process = RunProcess(
                [job.body.verb, *nodes, *job.body.arguments()],
                target,
                job.body.settings,
                self._base / job.id,
                lambda: self._ended(job),
            )
        log.info("run %s of %s started", job.id, job.scenario)

    def _await_begin(self, job: Job) -> None:
        """Wait until the run has started.

        Raises:
            Problem: It failed to start.
        """
        process = job.process
        assert process is not None
        if process.wait_started(BEGIN_S):
            job.state = RUNNING  # its file stays until it ends, for the next server
            self.on_begin(process.directory)
            return
        if process.exit_code is None:  # still loading; its own timeout is longer than ours
            job.awaited = False
            gevent.spawn(self._await_queued, job)
            return
        error = refusal(process.output, process.exit_code)
        raise of_error(error, "settings" if error.exit_code is ExitCode.SETTING else "scenario")

    def _ended(self, job: Job) -> None:
        assert job.process is not None
        log.info("run %s ended with %s", job.id, job.process.exit_code)
        if self.has_begun(job):
            self.drop(job.id)
        else:
            if job.process.exit_code == ExitCode.INTERNAL:
                log.error("run %s: %s", job.id, "\n".join(job.process.output))
            if job.awaited:
                self.drop(job.id)
            else:
                self._fail(job, str(refusal(job.process.output, job.process.exit_code)))
        self.work()
        self.on_end()

    def _await_end(self, job: Job) -> None:
        """Wait for the end of a run of an earlier server, which keeps its slot until then."""
        while self._directory(job).answers():
            gevent.sleep(ANSWERS_S)
        log.info("run %s of an earlier server ended", job.id)
        self.drop(job.id)
        self.work()
        self.on_end()

    def _fail(self, job: Job, why: str) -> None:
        """Mark a run as failed to start. Only the newest failed runs are kept."""
        log.warning("run %s failed to start: %s", job.id, why)
        job.fail(why)
        with suppress(Problem):
            self._keep(job)
        failed = [one.id for one in self if one.state == FAILED]
        for run in failed[: max(0, len(failed) - MAX_FAILED)]:
            self.drop(run)

    def _keep(self, job: Job) -> None:
        with os_error_as(unavailable, "the run cannot be saved in the queue"):
            self._files.keep(job)

    def _new_id(self, scenario: str, now: datetime) -> str:
        name = name_of_new(scenario_files.name_of(scenario), now.astimezone())
        ids = (name if twin == 1 else f"{name}-{twin}" for twin in count(1))
        return next(one for one in ids if one not in self._jobs and not (self._base / one).exists())

    # Ending.

    def drop(self, run: str) -> None:
        """Forget a run that is not running."""
        self._jobs.pop(run, None)
        self._files.forget(run)

    def close(self) -> None:
        """Stop all runs gracefully. Queued ones are left to the next server."""
        self._closing = True
        if self._timer is not None:
            self._timer.kill(block=False)
        processes = [one.process for one in self if one.process is not None]
        gevent.joinall([gevent.spawn(one.end, STOP_S) for one in processes])
