"""``amoc.Client``: a server's runs from a program, with Python's own HTTP client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, UsageError
from amoc.client import live, options
from amoc.client.answers import (
    Done,
    Node,
    RunInfo,
    RunStatus,
    ScenarioInfo,
    Second,
    Started,
    Status,
    each,
)
from amoc.client.http_line import Line, parsed, path_of, token_in
from amoc.client.options import Duration, Stages, UserIds, Value
from amoc.client.result import FetchedResult

TIMEOUT_S = 150.0
"""A server may take two minutes to read a long run."""
LOOK_S = 0.25
ARRIVALS = "arrival_rate"
"""The throttle that an arrival rate is."""
PAGE = 1_000
_ARCHIVES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
}
_DURATIONS = ("duration", "init_timeout", "stop_timeout", "warmup")


class Client:
    """A server (``amoc serve``), with the verbs of the command line.

    A run is named by its id; where none is given, the only one that is running is meant. Every call
    is a request of its own, so a client can be used by several threads.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:4000",
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Speak to the server at `url`; nothing is sent yet.

        Args:
            url: Where it is; ``https://…`` for TLS.
            token: What the server knows us by, if it wants a token.
            token_file: A file with nothing but the token.
            ca_file: The authority that its certificate is checked with, instead of the system's.
            timeout_s: How long it may say nothing.

        Raises:
            UsageError: An argument is wrong.
        """
        if token is not None and token_file is not None:
            raise UsageError("token and token_file are mutually exclusive; give one of them")
        if token_file is not None:
            token = token_in(os.fspath(token_file))
        ca = None if ca_file is None else os.fspath(ca_file)
        self._line = Line.to(url, token, timeout_s, ca)

    def __repr__(self) -> str:
        return f"<Client of {self._line}>"

    # The server

    def status(self) -> Status:
        """The server, and each run that is running."""
        return Status.of(self._line.ask("GET", "/status"))

    def nodes(self) -> Mapping[str, str]:
        """The states of the nodes of all runs, by name."""
        found: Mapping[str, str] = self._line.ask("GET", "/nodes")["nodes"]
        return found

    def node(self, name: str) -> Node:
        """A node, and its users."""
        return Node.of(self._line.ask("GET", f"/status/{quote(name, safe='')}"))

    def users(self, run: str | None = None) -> Mapping[str, int]:
        """The users of a run that is running: counts by state.

        Raises:
            UsageError: It does not run, or several do and none is named.
        """
        return self._running(run).users

    def _running(self, run: str | None) -> RunStatus:
        found = [one for one in self.status().runs if run in (None, one.run)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(one.run for one in found)
            raise UsageError(f"several runs are running: {names}; choose one with run=")
        raise UsageError("no run is running" if run is None else f"run {run} is not running")

    # Scenarios

    def scenarios(self) -> Sequence[str]:
        """The names of all scenarios."""
        return tuple(self._line.ask("GET", "/scenarios")["scenarios"])

    def scenario(self, name: str) -> ScenarioInfo:
        """What a scenario says of itself: its docstring, settings and thresholds."""
        return ScenarioInfo.of(self._line.ask("GET", f"/scenarios/info/{quote(name)}"))

    def upload(self, file: str | os.PathLike[str], name: str | None = None) -> ScenarioInfo:
        """Upload a scenario: a Python file, or a zip or tar archive with it and its modules.

        Args:
            file: The file.
            name: What it is to be called; its own name without endings if not given.

        Raises:
            ServiceError: It is refused: the scenario cannot be loaded, or uploads are off.
            UsageError: The file cannot be read.
        """
        path = Path(file)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        called = name or path.name.partition(".")[0]
        kind = _ARCHIVES.get(path.suffix, "text/x-python")
        where = f"/scenarios/upload?{urlencode({'name': called})}"
        return ScenarioInfo.of(parsed(self._line.fetch("PUT", where, data, kind)))

    # Runs that run

    def start(
        self,
        scenario: str,
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
        seed: int | None = None,
        comment: str = "",
        warmup: Duration | None = None,
        abort_on_fail: Duration | None = None,
        init_timeout: Duration | None = None,
        stop_timeout: Duration | None = None,
        limited_ok: bool = False,
        failures_ok: bool = False,
        queue: bool = False,
        at: datetime | None = None,
        **more: object,
    ) -> Started:
        """Start a run; returns when it takes commands, or waits in the queue.

        Args:
            scenario: Its name, as `scenarios` lists it.
            users: As in `amoc.run`, and so are the next ones.
            user_ids: Ids of the users.
            stages: Users over time.
            arrival_rate: Iterations begin at this rate.
            max_users: Most users of an arrival rate at once.
            duration: How long.
            set: Values of settings.
            expect: Thresholds.
            throttles: Rates by throttle.
            workers: Number of worker processes.
            seed: Seed of all random decisions.
            comment: A comment to keep with the run.
            warmup: Initial period to exclude.
            abort_on_fail: Abort when a threshold has been violated for this long.
            init_timeout: Timeout for init().
            stop_timeout: Grace period at the end.
            limited_ok: Do not fail the run for a slow generator.
            failures_ok: Accept a run in which nothing succeeded.
            queue: Wait until earlier runs are over, instead of being refused.
            at: When to start, with a time zone; the run is queued until then.
            more: Further fields that the server knows.

        Raises:
            ServiceError: It is refused: 409 when another run is running, 422 for a wrong value.
        """
        given: dict[str, object] = {
            "users": users,
            "user_ids": user_ids and options.ids("user_ids", user_ids),
            "stages": stages and options.stages("stages", stages),
            "arrival_rate": arrival_rate,
            "max_users": max_users,
            "duration": duration,
            "settings": options.settings(set) if set else None,
            "expect": options.texts("expect", expect),
            "throttles": dict(throttles) if throttles else None,
            "workers": workers,
            "seed": seed,
            "comment": comment,
            "warmup": warmup,
            "abort_on_fail": abort_on_fail,
            "init_timeout": init_timeout,
            "stop_timeout": stop_timeout,
            "limited_ok": limited_ok or None,
            "failures_ok": failures_ok or None,
            "queue": queue or None,
            "at": None if at is None else at.isoformat(),
            **more,
        }
        body = {name: one for name, one in given.items() if one not in (None, "", [])}
        for name in (*_DURATIONS, "abort_on_fail"):
            if name in body:
                body[name] = options.duration(name, body[name])
        asked = {"scenario": scenario, **body}
        started = Started.of(self._line.ask("PATCH", "/execution/start", asked))
        return started if started.state == "queued" else self._taking_commands(started)

    def _taking_commands(self, started: Started) -> Started:
        """The run, once it takes commands or is over: init() takes its time.

        Raises:
            PeerError: It does neither.
        """
        give_up_ns = now_ns() + int(self._line.timeout_s * S_NS)
        while now_ns() < give_up_ns:
            if any(one.run == started.run for one in self.status().runs):
                return started
            if (found := self.run(started.run)).over:
                return replace(started, state=found.state)
            time.sleep(LOOK_S)
        raise PeerError(f"run {started.run} takes no commands after {self._line.timeout_s:g} s")

    def command(
        self, name: str, /, *, run: str | None = None, comment: str = "", **arguments: object
    ) -> Done:
        """Give a run a command of the table in docs/control.md, by name.

        Raises:
            ServiceError: It is refused; nothing was changed.
        """
        given = {"run": run, "comment": comment or None, **arguments}
        body = {key: one for key, one in given.items() if one is not None}
        return Done.of(self._line.ask("PATCH", f"/execution/{quote(name, safe='')}", body))

    def stop(self, run: str | None = None, *, comment: str = "") -> Done:
        """Stop a run gracefully."""
        return self.command("stop", run=run, comment=comment)

    def pause(self, run: str | None = None, *, comment: str = "") -> Done:
        """Pause a run."""
        return self.command("pause", run=run, comment=comment)

    def resume(self, run: str | None = None, *, comment: str = "") -> Done:
        """Resume a paused run."""
        return self.command("resume", run=run, comment=comment)

    def add(
        self,
        count: int | None = None,
        *,
        ids: tuple[int, int] | None = None,
        run: str | None = None,
        comment: str = "",
    ) -> Done:
        """Add so many users, or those with the ids from the first to the last of a pair."""
        return self.command("add", run=run, comment=comment, count=count, ids=ids)

    def remove(
        self,
        count: int | None = None,
        *,
        ids: tuple[int, int] | None = None,
        force: bool = False,
        run: str | None = None,
        comment: str = "",
    ) -> Done:
        """Remove users; with `force` their iterations do not finish."""
        return self.command(
            "remove", run=run, comment=comment, count=count, ids=ids, force=force or None
        )

    def set(
        self, values: Mapping[str, Value], *, run: str | None = None, comment: str = ""
    ) -> Done:
        """Change settings, on all workers or on none."""
        return self.command("set", run=run, comment=comment, values=options.settings(values))

    def throttle(self, name: str, rate: str, *, run: str | None = None, comment: str = "") -> Done:
        """Change the rate of a throttle: ``10/s``, ``inf``, or stages."""
        return self.command("throttle", run=run, comment=comment, name=name, rate=rate)

    def rate(self, rate: str, *, run: str | None = None, comment: str = "") -> Done:
        """Change the arrival rate of a run that has one: ``50/s``, or stages."""
        return self.throttle(ARRIVALS, rate, run=run, comment=comment)

    def note(self, text: str, *, run: str | None = None) -> Done:
        """Add a note to a run's journal and charts."""
        return self.command("note", run=run, comment=text)

    # Runs

    def runs(self, limit: int = 100) -> Sequence[RunInfo]:
        """Runs, the newest first; those that wait come first of all."""
        return each(RunInfo, self._line.ask("GET", f"/runs?limit={limit}")["runs"])

    def run(self, run: str = "last") -> RunInfo:
        """A run, by its id, or ``last``, ``last~1`` and so on."""
        return RunInfo.of(self._line.ask("GET", path_of(run)))

    def result(self, run: str = "last") -> FetchedResult:
        """The figures of a run; of one that is running, as they are so far."""
        return FetchedResult(self._line, self._line.ask("GET", path_of(run, "summary")))

    def report(self, run: str = "last", to: str | os.PathLike[str] | None = None) -> str:
        """The HTML report of a run; written to the file `to`, too, if that is given."""
        data = self._line.fetch("GET", path_of(run, "report"))
        if to is not None:
            Path(to).write_bytes(data)
        return data.decode()

    def log(self, run: str = "last", lines: int = 100) -> Sequence[Mapping[str, Any]]:
        """The newest lines of a run's logs, of all its processes, in order."""
        found = self._line.ask("GET", path_of(run, f"log?lines={lines}"))
        return tuple(found["lines"])

    def compare(self, first: str, second: str) -> Mapping[str, Any]:
        """Two runs compared, as ``amoc compare --json`` does."""
        found: Mapping[str, Any] = self._line.ask(
            "GET", path_of(first, f"compare/{quote(second, safe='')}")
        )
        return found

    def delete(self, run: str) -> None:
        """Delete all that a run has left. It must be over."""
        self._line.ask("DELETE", path_of(run))

    def wait(self, run: str = "last", timeout_s: float | None = None) -> RunInfo:
        """Wait until a run is over.

        Raises:
            TimeoutError: It is not after `timeout_s`.
        """
        give_up_ns = None if timeout_s is None else now_ns() + int(timeout_s * S_NS)
        while not (found := self.run(run)).over:
            if give_up_ns is not None and now_ns() > give_up_ns:
                raise TimeoutError(f"run {found.id} is not over after {timeout_s:g} s")
            run = found.id  # `last` may be another one meanwhile
            time.sleep(LOOK_S)
        return found

    def series(self, run: str = "last", after: int = 0) -> Iterator[Second]:
        """The seconds that a run has so far, those after a number, in order."""
        run = self.run(run).id
        while True:
            found = self._line.ask("GET", path_of(run, f"series?after={after}&limit={PAGE}"))
            yield from each(Second, found["seconds"])
            after = found["last"]
            if after >= found["total"] or not found["seconds"]:
                return

    def live(
        self, run: str = "last", after: int = 0, patience_s: float = live.PATIENCE_S
    ) -> Iterator[Second]:
        """Each second of a run as soon as it is known, until the run is over.

        A lost connection is made again, and no second is missed or repeated.

        Args:
            run: Which one.
            after: Begin with those after this number.
            patience_s: For how long the server may be away.

        Raises:
            ServiceError: There is no such run.
            PeerError: The server was away for too long.
        """
        return live.seconds(self._line, self.run(run).id, after, patience_s)
