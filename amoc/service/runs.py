"""The runs that the daemon knows: those that wait, those that it runs, and those in the directory.

A run's id is the name of its directory. What a run is and was is read from there each time, so
runs of a shell, and those of a daemon before this one, are as good as its own.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from pathlib import Path

import gevent

from amoc.base.errors import AmocError, ExitCode
from amoc.base.json_plain import JsonObject
from amoc.control import client
from amoc.control.commands import Command, checked
from amoc.results import run_list
from amoc.results.run_directory import RunDirectory, all_runs, last_of, name_of_new
from amoc.results.run_list import ListedRun
from amoc.service import removal
from amoc.service.job import Job
from amoc.service.problems import Problem, conflict, not_found, of_error
from amoc.service.requests import RUN_ID, StartBody
from amoc.service.run_process import RunProcess

log = logging.getLogger(__name__)

MAX_QUEUED = 100
MAX_FAILED = 50
BEGIN_S = 90.0
"""How long an answer to a start waits for the run to load its scenario and run init()."""
ASK_S = 60.0
STATUS_S = 10.0
STOP_S = 60.0
"""How long runs may take to stop when the daemon does."""
TIDY_S = 60.0


class Runs:
    """All runs below one directory, and how many of them the daemon runs at once.

    Attributes:
        on_begin: Called when one that the daemon has started begins.
    """

    def __init__(
        self,
        base: Path,
        parallel: int,
        find_scenario: Callable[[str], Path],
        keep: int | None = None,
        keep_days: float | None = None,
    ) -> None:
        self._base = base
        self._parallel = parallel
        self._find_scenario = find_scenario
        self._keep, self._keep_days = keep, keep_days
        self._jobs: dict[str, Job] = {}
        self._failed: deque[Job] = deque(maxlen=MAX_FAILED)
        self._closing = False
        self.on_begin: Callable[[RunDirectory], None] = lambda _: None
        self._timer: gevent.Greenlet[[], None] | None = None
        removal.clear(base)
        self.tidy()

    # What there is.

    @property
    def base(self) -> Path:
        """Where the directories of runs are."""
        return self._base

    @property
    def parallel(self) -> int:
        """How many runs may run side by side."""
        return self._parallel

    def newest(self, limit: int) -> list[ListedRun]:
        """The newest runs, those that wait first; of what is in the directory `limit` at most."""
        jobs = [*self._jobs.values(), *self._failed]
        early = [one for one in reversed(jobs) if not self._directory(one.id).journal.exists()]
        listed = [one.listed(self._base / one.id) for one in early]
        return [*listed, *run_list.newest(limit, str(self._base))]

    def find(self, run: str) -> RunDirectory:
        """The directory of a run that has begun, whether it is over or not.

        Raises:
            Problem: There is no such run, or it has not begun.
        """
        if not re.fullmatch(RUN_ID, run):
            raise not_found("run", run, "run")
        run = self._id_of(run)
        directory = self._directory(run)
        if run in self._jobs and not directory.journal.exists():
            raise conflict(
                f"run {run} is {self._jobs[run].state} and has nothing to show yet", "run"
            )
        if directory.path.is_symlink() or not any(
            one.exists() for one in (directory.journal, directory.summary)
        ):
            raise not_found("run", run, "run")
        return directory

    def _id_of(self, run: str) -> str:
        """The id that `run` stands for: the newest's for ``last``, and so on."""
        if not run.startswith("last"):
            return run
        newest = last_of(run, all_runs(str(self._base)))
        return run if newest is None else newest.path.name

    def get(self, run: str) -> ListedRun:
        """A run as it is listed.

        Raises:
            Problem: There is no such run.
        """
        for job in (*self._jobs.values(), *self._failed):
            if job.id == run and not self._directory(run).journal.exists():
                return job.listed(self._base / run)
        return run_list.listed(self.find(run))

    def running(self) -> list[RunDirectory]:
        """The runs that take commands now, the daemon's or not, the newest first."""
        there = all_runs(str(self._base))
        return [one for one in there if one.control.exists() and one.answers()]

    def jobs(self) -> Iterator[Job]:
        """Runs that wait or that the daemon runs, in the order in which they were asked for."""
        return iter(tuple(self._jobs.values()))

    def job(self, run: str) -> Job | None:
        """A run that waits or that the daemon runs; None for any other."""
        return self._jobs.get(run)

    def error_of(self, run: str) -> str:
        """Why a run could not begin; empty for any other."""
        return next((one.error for one in self._failed if one.id == run), "")

    def _directory(self, run: str) -> RunDirectory:
        return RunDirectory(self._base / run)

    # Starting.

    def start(self, body: StartBody) -> Job:
        """Start a run, or queue it; its users may start when this returns, or it waits.

        Raises:
            Problem: As many as may run are running, the queue is full, or the run is refused.
        """
        scenario = self._find_scenario(body.scenario)
        now = datetime.now(UTC)
        busy = [one.id for one in self._active()]
        later = body.at is not None and body.at > now
        if self._closing:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the daemon is stopping")
        if len(busy) >= self._parallel and not (body.queue or later):
            few = "a run is" if len(busy) == 1 else f"{len(busy)} runs are"
            raise conflict(
                f"{few} running already: {', '.join(busy)}; queue=true waits for its turn"
            )
        if sum(one.state == "queued" for one in self._jobs.values()) >= MAX_QUEUED:
            raise conflict(f"at most {MAX_QUEUED} runs can wait, and so many do", "queue")
        job = Job(self._new_id(body.scenario, now), body, scenario, now)
        self._jobs[job.id] = job
        if later or len(busy) >= self._parallel:
            self.work()
            return job
        job.awaited = True
        self._launch(job)
        self._await_begin(job)
        return job

    def work(self) -> None:
        """Start what is due and has room; then look again when the next one is due."""
        if self._timer is not None and self._timer is not gevent.getcurrent():
            self._timer.kill(block=False)
        self._timer = None
        now = datetime.now(UTC)
        queued = [one for one in self._jobs.values() if one.state == "queued"]
        queued.sort(key=lambda one: one.due_at)
        for job in queued:
            if self._closing or len(self._active()) >= self._parallel:
                return  # the end of a run calls again
            if job.due_at > now:
                wait_s = min((job.due_at - now).total_seconds(), TIDY_S)
                self._timer = gevent.spawn_later(wait_s, self.work)
                return
            try:
                self._launch(job)
            except Problem as problem:
                log.warning("queued run %s: %s", job.id, problem.detail)
            else:
                gevent.spawn(self._await_queued, job)

    def _await_queued(self, job: Job) -> None:
        """Wait until a run has begun whose client does not; `_ended` keeps why it could not."""
        with suppress(Problem):
            self._await_begin(job)

    def _active(self) -> list[Job]:
        # Also while its process is being started, which lets other requests through.
        return [one for one in self._jobs.values() if one.state != "queued"]

    def _launch(self, job: Job) -> None:
        job.state = "starting"
        try:
            self._base.mkdir(parents=True, exist_ok=True)
            job.process = RunProcess(
                job.scenario,
                job.body.arguments(),
                job.body.settings,
                self._base / job.id,
                lambda: self._ended(job),
            )
        except OSError as error:
            del self._jobs[job.id]
            why = f"the run's process cannot be started: {error.strerror}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why) from None
        log.info("run %s of %s started", job.id, job.body.scenario)

    def _await_begin(self, job: Job) -> None:
        """Wait until the run has begun.

        Raises:
            Problem: It could not.
        """
        process = job.process
        assert process is not None
        if process.begun(BEGIN_S):
            job.state = "running"
            self.on_begin(process.directory)
            return
        if process.exit_code is None:  # still loading; its own deadline is longer than ours
            job.awaited = False
            gevent.spawn(self._await_queued, job)
            return
        error = AmocError(process.why())
        codes = list(ExitCode)
        error.exit_code = (
            ExitCode(process.exit_code) if process.exit_code in codes else ExitCode.INTERNAL
        )
        raise of_error(error, "settings" if error.exit_code is ExitCode.SETTING else "scenario")

    def _ended(self, job: Job) -> None:
        assert job.process is not None
        log.info("run %s ended with %s", job.id, job.process.exit_code)
        self._jobs.pop(job.id, None)
        if not job.process.directory.journal.exists():
            job.state, job.error = "failed", job.process.why()
            if job.process.exit_code == ExitCode.INTERNAL:
                log.error("run %s: %s", job.id, "\n".join(job.process.output))
            if not job.awaited:
                self._failed.append(job)
        self.work()
        self.tidy()

    def _new_id(self, scenario: str, now: datetime) -> str:
        name = name_of_new(scenario.rpartition("/")[2], now.astimezone())
        ids = (name if twin == 1 else f"{name}-{twin}" for twin in count(1))
        return next(one for one in ids if one not in self._jobs and not (self._base / one).exists())

    # Commands.

    def command(self, run: str | None, command: Command) -> tuple[str, JsonObject]:
        """Give a run a command; the run's id, and its answer.

        Args:
            run: Its id; None means the only one that runs.
            command: Not checked yet.

        Raises:
            Problem: There is no such run, it does not run, or several do.
            AmocError: The run, or the table of commands, refuses.
        """
        if command.name == "stop" and (stopped := self._stop_early(run)):
            return stopped
        directory = self.reachable(run)
        given = checked(*command)
        try:
            return directory.id, client.request(directory.control, *given, timeout_s=ASK_S)
        except AmocError as error:
            # What is wrong with the command alone, `checked` has said.
            if error.exit_code is ExitCode.USAGE:
                raise conflict(str(error)) from None
            if not directory.control.exists():
                raise conflict(f"run {directory.id} ended before it answered") from None
            raise

    def reachable(self, run: str | None) -> RunDirectory:
        """The run that takes commands and that is meant.

        Raises:
            Problem: There is no such run, it does not run, or several do.
        """
        if run is not None:
            directory = self.find(run)
            if not directory.control.exists() or not directory.answers():
                raise conflict(f"run {run} is not running", "run")
            return directory
        running = self.running()
        if not running:
            raise conflict("no run is running")
        if len(running) > 1:
            names = ", ".join(one.id for one in running)
            raise conflict(f"several runs are running: {names}; choose one", "run")
        return running[0]

    def _stop_early(self, run: str | None) -> tuple[str, JsonObject] | None:
        """Stop a run that takes no commands yet; None if it is another one that is meant."""
        job = self._jobs.get(self._id_of(run)) if run is not None else None
        if job is None or self._directory(job.id).control.exists():
            return None
        if job.state == "queued":
            del self._jobs[job.id]
            return job.id, {"summary": f"run {job.id} was taken from the queue", "workers": []}
        if job.process is None:
            raise conflict(f"run {job.id} is being started; try again", "run")
        job.process.interrupt()
        return job.id, {"summary": f"run {job.id} is about to stop", "workers": []}

    def ask(self, directory: RunDirectory, command: str) -> JsonObject:
        """What a run that runs answers to ``status`` or ``users``.

        Raises:
            AmocError: It does not answer.
        """
        return client.request(directory.control, command, {}, timeout_s=STATUS_S)

    # Deleting.

    def delete(self, run: str) -> None:
        """Delete all that a run has left.

        Raises:
            Problem: There is no such run, or it still runs.
        """
        run = self._id_of(run)
        if run in self._jobs:
            raise conflict(f"run {run} is {self._jobs[run].state}; stop it first", "run")
        for job in self._failed:
            if job.id == run:
                self._failed.remove(job)
                return
        directory = self.find(run)
        if directory.control.exists() and directory.answers():
            raise conflict(f"run {run} is running; stop it first", "run")
        removal.remove(directory)

    def tidy(self) -> None:
        """Delete runs that are over, beyond those that are to be kept."""
        removal.tidy(self._base, self._jobs.keys(), self._keep, self._keep_days)

    # The end.

    def close(self) -> None:
        """Stop all runs of the daemon, gracefully; queued ones are forgotten."""
        self._closing = True
        if self._timer is not None:
            self._timer.kill(block=False)
        processes = [one.process for one in self._active() if one.process is not None]
        gevent.joinall([gevent.spawn(one.end, STOP_S) for one in processes])
