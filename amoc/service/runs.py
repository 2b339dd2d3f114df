"""The runs in a directory: those queued or running on this server, and all others.

The state of a run is read from its directory each time. So runs of a shell, and those of an earlier
server, are treated like the server's own.
"""

from __future__ import annotations

import re
from pathlib import Path

import gevent

from amoc.base.errors import AmocError, ExitCode
from amoc.base.json_plain import JsonObject, object_in
from amoc.control import client
from amoc.control.commands import Command, checked
from amoc.results import journal, run_list
from amoc.results.run_directory import RunDirectory, all_runs, named, runs
from amoc.results.run_list import FAILED, QUEUED, ListedRun
from amoc.scenario.cluster import ONE_NODE
from amoc.service import removal, sent_files
from amoc.service.config import ServiceConfig
from amoc.service.job import Job
from amoc.service.problems import conflict, not_found
from amoc.service.requests import RUN_ID
from amoc.service.run_queue import RunQueue
from amoc.service.scenarios import Scenarios
from amoc.service.start_bodies import ReplayBody, StartBody


class Runs:
    """All runs in one directory.

    Attributes:
        base: Directory of the directories of runs.
        queue: The runs requested from this server.
    """

    def __init__(self, config: ServiceConfig, scenarios: Scenarios) -> None:
        self.base = config.runs
        self._config = config
        self._scenarios = scenarios
        self.queue = RunQueue(self.base, config.parallel, self._target_of, self._nodes_of)
        self.queue.on_end = self.tidy  # the run that ended may exceed the retention limits
        self._known: dict[str, str] = {}
        self._tidying: gevent.Greenlet[[], None] | None = None

    def begin(self) -> None:
        """Start waiting runs, and delete those beyond the retention limits, now and regularly."""
        removal.clear(self.base)
        self.queue.work()
        self._tidying = gevent.spawn(self._keep_tidy)

    # What there is.

    def newest(self, limit: int) -> list[ListedRun]:
        """Return queued runs, followed by at most `limit` runs in the directory, newest first."""
        early = [one for one in self.queue if not self.queue.has_begun(one)]
        listed = [one.listed(self.base / one.id) for one in reversed(early)]
        return [*listed, *run_list.newest(limit, str(self.base))]

    def find(self, run: str) -> RunDirectory:
        """Return the directory of a run that has started, whether it has ended or not.

        Args:
            run: Its name or the beginning of it, its id, or ``last``, as for `run_directory.named`.

        Raises:
            Problem: There is no such run, it has not started, or the name is ambiguous.
        """
        if (job := self.job(run)) is not None and not self.queue.has_begun(job):
            if job.state == FAILED:
                raise conflict(f"run {run} failed to start: {job.error}", "run")
            raise conflict(f"run {run} is {job.state} and has no data yet", "run")
        found = self._called(run)
        if not found:
            raise not_found("run", run, "run")
        if len(found) > 1:
            several = ", ".join(one.path.name for one in found[:5])
            raise conflict(f"run {run} is ambiguous: it may be {several}", "run")
        return found[0]

    def _called(self, run: str) -> list[RunDirectory]:
        """Return the directories of runs that match a name."""
        return [
            one
            for one in (named(run, str(self.base)) if re.fullmatch(RUN_ID, run) else ())
            if not one.path.is_symlink() and (one.journal.exists() or one.summary.exists())
        ]

    def get(self, run: str) -> ListedRun:
        """Return a run as in a list.

        Raises:
            Problem: There is no such run.
        """
        job = self.job(run)
        if job is not None and not self.queue.has_begun(job):
            return job.listed(self.base / run)
        return run_list.listed(self.find(run))

    def running(self) -> list[RunDirectory]:
        """Return the runs that take commands now, of this server or not, newest first."""
        return [one for one in all_runs(str(self.base)) if one.answers()]

    def job(self, run: str) -> Job | None:
        """Return a run requested from this server that has not ended; None for any other."""
        job = self.queue.get(run)
        over = job is not None and job.state == FAILED and self.queue.has_begun(job)
        return None if over else job

    def error_of(self, run: str) -> str:
        """Return why a run failed to start; empty if it did not."""
        return job.error if (job := self.job(run)) is not None else ""

    # Starting.

    def replay(self, body: ReplayBody) -> Job:
        """Repeat a run, or queue that.

        Raises:
            Problem: As for `RunQueue.start`, or the run was on hosts that the server may not use.
        """
        again = self.find(body.run)
        self._nodes_again(again)
        exactly = body.model_copy(update={"run": again.id})  # "last" may mean another run later
        return self.queue.start(exactly, run_list.listed(again).scenario)

    def _nodes_of(self, body: StartBody | ReplayBody) -> list[str]:
        """Return additional options that select the nodes of a run."""
        if isinstance(body, StartBody):
            return self._config.cluster.run_options(body.cluster)
        return self._nodes_again(self.find(body.run))

    def _nodes_again(self, again: RunDirectory) -> list[str]:
        """Return the options that select the nodes of a repeated run.

        Raises:
            Problem: The run was on hosts that the server may not use.
        """
        begun = journal.run_entry(again.journal) or {}
        theirs = str(object_in(begun, "plan").get("cluster", ONE_NODE))
        options = self._config.cluster.replay_options(theirs)
        if options is None:
            why = f"had nodes on other hosts ({theirs}); repeat it there with amoc replay"
            raise conflict(f"run {again.id} {why}", "run")
        return options

    def _target_of(self, body: StartBody | ReplayBody) -> Path:
        if isinstance(body, ReplayBody):
            return self.find(body.run).path.resolve()
        return self._scenarios.target(body.scenario)

    # Commands.

    def command(self, run: str | None, command: Command) -> JsonObject:
        """Send a command to a run. Return its answer, with the run's id.

        Args:
            run: Its id; None for the only running one.
            command: The command, not checked yet.

        Raises:
            Problem: There is no such run, it is not running, or several are.
            AmocError: The command is invalid, or the run refuses it.
        """
        if command.name == "stop" and (stopped := self._stop_early(run)):
            return stopped
        directory = self.reachable(run)
        given = checked(*command)
        try:
            return {"run": directory.id, **client.request(directory.control, *given)}
        except AmocError as error:
            # `checked` has found errors in the command itself, so this is about the run's state.
            if error.exit_code is ExitCode.USAGE:
                raise conflict(str(error)) from None
            if not directory.control.exists():
                raise conflict(f"run {directory.id} ended before it answered") from None
            raise

    def reachable(self, run: str | None) -> RunDirectory:
        """Return the run to send commands to.

        Raises:
            Problem: There is no such run, it is not running, or several are.
        """
        if run is not None:
            directory = self.find(run)
            if not directory.answers():
                raise conflict(f"run {run} is not running", "run")
            return directory
        running = self.running()
        if not running:
            raise conflict("no run is running")
        if len(running) > 1:
            names = ", ".join(one.id for one in running)
            raise conflict(f"several runs are running: {names}; choose one with run", "run")
        return running[0]

    def _stop_early(self, run: str | None) -> JsonObject | None:
        """Stop a run that does not take commands yet; None if `run` is not such a run."""
        job = self.job(run) if run is not None else None
        if job is None or job.state == FAILED or RunDirectory(self.base / job.id).control.exists():
            return None
        if job.state == QUEUED:
            self.queue.drop(job.id)
            done = "was removed from the queue"
        elif job.process is None:
            raise conflict(f"run {job.id} is being started; try again", "run")
        else:
            job.process.interrupt()
            done = "is stopping"
        return {"run": job.id, "summary": f"run {job.id} {done}", "workers": []}

    # Deleting.

    def delete(self, run: str) -> None:
        """Delete all files of a run.

        Raises:
            Problem: There is no such run, it has not ended, or `run` is not its full name or id.
                With ``last``, a repeated request would delete another run.
        """
        job = self.job(run)
        if job is not None and job.state == FAILED:
            self.queue.drop(run)
            return
        found = self._called(run) if job is None else [RunDirectory(self.base / run)]
        exact = [one for one in found if run in (one.id, journal.run_id(one.journal))]
        if len(exact) != 1:
            raise not_found("run", run, "run")
        directory = exact[0]
        job = self.job(directory.id)
        if job is not None or directory.answers():
            state = job.state if job is not None else "running"
            raise conflict(f"run {directory.id} is {state}; stop it first", "run")
        removal.remove(directory)

    def tidy(self) -> float:
        """Delete ended runs beyond the retention limits. Return the seconds until the next check.

        Also deletes uploaded files of runs that no longer exist.
        """
        busy = {one.id for one in self.queue}
        look_s = removal.tidy(self.base, busy, self._config.keep, self._config.keep_days)
        sent_files.tidy(self._scenarios.uploads, self._sources)
        return look_s

    def _sources(self) -> list[str]:
        """Return the scenarios of all runs. Each journal is read only once."""
        known: dict[str, str] = {}
        for one in runs(str(self.base)):
            begun = {} if one.id in self._known else journal.run_entry(one.journal) or {}
            path = object_in(begun, "scenario").get("path") or ""
            known[one.id] = self._known.get(one.id) or str(path)
        self._known = {run: source for run, source in known.items() if source}
        return [*known.values(), *(one.scenario for one in self.queue)]

    def _keep_tidy(self) -> None:
        while True:
            gevent.sleep(self.tidy())

    # The end.

    def close(self) -> None:
        """Stop all runs of this server gracefully."""
        if self._tidying is not None:
            self._tidying.kill(block=False)
        self.queue.close()
