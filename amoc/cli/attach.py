"""``amoc attach``: shows a run of another process live, as ``amoc run`` shows its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from amoc.base.errors import AmocError, ExitCode
from amoc.base.json_plain import JsonObject
from amoc.base.polling import poll
from amoc.cli import server_option

if TYPE_CHECKING:
    from amoc.client.rest_client import RestClient
    from amoc.control.commands import Command
    from amoc.results.run_directory import RunDirectory
    from amoc.results.series import Point
    from amoc.results.summary_types import Summary

POLL_S = 0.25
BATCH_SECONDS = 100
"""Seconds of data to read at a time; the first reads catch up with the run so far."""
SUMMARY_S = 10.0
"""How long to wait for a run's summary after its last second."""


class LocalRun:
    """A run of this host, read from its directory.

    Attributes:
        id: Its id.
        elsewhere: Id and options to address the run with, if it is on a server; else None.
    """

    elsewhere: str | None = None

    def __init__(self, directory: RunDirectory) -> None:
        self.id = directory.id
        self._directory = directory

    def points(self) -> Iterator[Point | None]:
        """Yield the run's seconds as it writes them, until it ends; None if there is no new one."""
        from amoc.results.store.reader import StoredSeries

        series = StoredSeries(self._directory.series)
        taken = 0
        while True:
            running = self._directory.answers()
            series.grow()
            while points := series.after(taken, BATCH_SECONDS):
                yield from points
                taken += len(points)
            if not running:
                return
            yield None

    def give(self, command: Command) -> JsonObject:
        """Send the run a command, and return its answer."""
        from amoc.control import client

        return client.request(self._directory.control, *command)

    def summary(self) -> Summary | None:
        """Return the run's summary, waiting for it; None if it does not appear in time."""
        from amoc.results import summary_file

        found = self._directory.summary
        return summary_file.read(found) if poll(found.exists, SUMMARY_S, POLL_S) else None


class RemoteRun:
    """A run of a server, with the same methods as `LocalRun`."""

    def __init__(self, server: RestClient, run: str) -> None:
        self.id = run
        self.elsewhere: str | None = f"{run} --server {server}"
        self._server = server

    def points(self) -> Iterator[Point | None]:
        """Yield the run's seconds as it writes them, until it ends; None if there is no new one."""
        from amoc.results.run_list import QUEUED, RUNNING, STARTING
        from amoc.results.series import Point

        taken = 0
        while True:
            state = self._server.request("GET", f"/runs/{self.id}")["state"]
            if state in (QUEUED, STARTING):
                yield None
                continue
            over = state != RUNNING
            path = f"/runs/{self.id}/series?histograms=true&limit={BATCH_SECONDS}&after="
            while seconds := self._server.request("GET", f"{path}{taken}")["seconds"]:
                for second in seconds:
                    yield Point.from_json(second)
                taken += len(seconds)
            if over:
                return
            yield None

    def give(self, command: Command) -> JsonObject:
        """Send the run a command, and return its answer."""
        return server_option.command(self._server, self.id, command)

    def summary(self) -> Summary | None:
        """Return the run's summary."""
        from amoc.client.fetched import summary_of

        return summary_of(self._server, self.id)


@server_option.options
@click.command(short_help="Show a run live, and control it with keys.")
@click.option("--run", metavar="DIR", help="The run's directory or id.  [default: the only run]")
def attach(run: str | None) -> None:
    """Show a run live, as amoc run does, and control it with the same keys.

    Ctrl-C detaches; the run continues. The exit code is the run's if it ends meanwhile, else 0.
    """
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    from amoc.results.run_directory import find

    server = server_option.server()
    if server is not None:
        sys.exit(follow(RemoteRun(server, server_option.run_of(server, run))))
    sys.exit(follow(LocalRun(find(run))))


def follow(
    run: LocalRun | RemoteRun, on_summary: Callable[[Summary], None] = lambda _: None
) -> int:
    """Show a run until it ends or Ctrl-C is pressed. Return the exit code.

    Args:
        run: The run to show.
        on_summary: Called with its summary once it has ended.
    """
    import gevent
    from gevent.event import Event

    from amoc.cli.messages import say
    from amoc.cli.view.console import console
    from amoc.cli.view.followed import FollowedStatus, RelayedAnswer
    from amoc.cli.view.shown_run import view_of
    from amoc.cli.view.summary import print_summary

    status, over = FollowedStatus(run_id=run.id), Event()
    view, keys = view_of(
        sys.stdout, status, lambda command, _source: RelayedAnswer.of(run.give(command))
    )
    left = _leave_by_ctrl_c(over.set)

    def take() -> AmocError | None:
        try:
            for point in run.points():
                if point is None:
                    gevent.sleep(POLL_S)
                else:
                    status.take(point)
        except AmocError as error:
            return error
        return None

    with view, keys:
        taking = gevent.spawn(take)
        taking.link(lambda _: over.set())
        over.wait()
    if left() and not taking.ready():
        taking.kill()
        say(f"detached from run {run.id}, which continues")
        return ExitCode.OK
    if (lost := taking.get()) is not None:
        raise lost
    summary = run.summary()
    if summary is None:
        say(f"run {run.id} has ended without a summary")
        return ExitCode.OK
    print_summary(console(), summary, run.elsewhere)
    on_summary(summary)
    return int(summary["run"]["exit_code"] or 0)


def _leave_by_ctrl_c(leave: Callable[[], None]) -> Callable[[], bool]:
    """Call `leave` at Ctrl-C. Return a function that says whether it was pressed."""
    import gevent

    loop = gevent.get_hub().loop
    seen = False

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen = True
        loop.run_callback_threadsafe(leave)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    return lambda: seen
