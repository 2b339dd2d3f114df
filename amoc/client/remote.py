"""``amoc.Client``: a server's runs from a program, with Python's own HTTP client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, Unpack
from urllib.parse import quote, urlencode

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, UsageError, os_error_as
from amoc.client import live, options, remote_commands, run_fields
from amoc.client.answers import Node, Preview, RunInfo, ScenarioInfo, Second, Started, Status, each
from amoc.client.http_line import TIMEOUT_S, Line, parsed, path_of, token_in
from amoc.client.options import Value
from amoc.client.remote_commands import Commands
from amoc.client.result import FetchedResult
from amoc.client.run_fields import InstallOptions, RunOptions
from amoc.client.sending import name_there
from amoc.results.run_list import QUEUED

LOOK_S = 0.25
PAGE = 1_000

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, int | str]
"""A scenario's name there, a file here, or several of both with their loads."""
_ARCHIVES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
}


class Client(Commands):
    """A server (``amoc serve``), with the verbs of the command line.

    A run is named by its id, or as ``last``, ``last~1`` and so on; where none is given to a
    command, the only one that is running is meant. Every call is a request of its own, so a client
    can be used by several threads.
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
        return remote_commands.running(self._line, run, "run=").users

    # Scenarios

    def scenarios(self) -> Sequence[str]:
        """The names of all scenarios."""
        return tuple(self._line.ask("GET", "/scenarios")["scenarios"])

    def scenario(self, name: str | os.PathLike[str]) -> ScenarioInfo:
        """What a scenario says of itself: its docstring, settings and thresholds.

        Args:
            name: Of one there; or a file here, which is sent, but no scenario there then.
        """
        called = self._name_there(name)
        return ScenarioInfo.of(self._line.ask("GET", f"/scenarios/info/{quote(called)}"))

    def _name_there(self, scenario: Source) -> str:
        return name_there(self._line, options.source(scenario))

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
        with os_error_as(UsageError, f"{path} cannot be read"):
            data = path.read_bytes()
        called = name or path.name.partition(".")[0]
        kind = _ARCHIVES.get(path.suffix, "text/x-python")
        where = f"/scenarios/upload?{urlencode({'name': called})}"
        return ScenarioInfo.of(parsed(self._line.fetch("PUT", where, data, kind)))

    # Starting

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

    def start(
        self,
        scenario: Source,
        *,
        queue: bool = False,
        at: datetime | None = None,
        **given: Unpack[RunOptions],
    ) -> Started:
        """Start a run; returns when it takes commands, or waits in the queue.

        Args:
            scenario: Its name, as `scenarios` lists it; or a file here, ``"shop.py"``, which is
                sent with its directory, but is no scenario there then; or several with their loads.
            queue: Wait until earlier runs are over, instead of being refused.
            at: When to start, with a time zone; the run is queued until then.
            given: The options of `amoc.run`, see `RunOptions`.

        Raises:
            ServiceError: It is refused: 409 when another run is running, 422 for a wrong value.
        """
        fields = run_fields.fields(given)
        asked = {"scenario": self._name_there(scenario), **fields}
        return self._started("start", asked, queue, at)

    def replay(
        self,
        run: str = "last",
        *,
        set: Mapping[str, Value] | None = None,
        comment: str = "",
        queue: bool = False,
        at: datetime | None = None,
        **given: Unpack[InstallOptions],
    ) -> Started:
        """Repeat a run, with the commands that it was given; returns as `start` does.

        Args:
            run: Its id, or ``last``, ``last~1`` and so on.
            set: Values of settings that are to be others. Secrets are not kept with a run, so they
                must be given again.
            comment: Instead of its own.
            queue: As in `start`.
            at: As in `start`.
            given: How it gets what its scenario depends on, see `InstallOptions`.

        Raises:
            ServiceError: It is refused.
        """
        asked = {"run": run, **run_fields.fields({"set": set, "comment": comment, **given})}
        return self._started("replay", asked, queue, at)

    def plan(self, scenario: Source, **given: Unpack[RunOptions]) -> Preview:
        """What `start` would do with the same arguments, and when; nothing is run.

        Raises:
            ServiceError: A start would be refused.
        """
        fields = run_fields.fields(given)
        asked = {"scenario": self._name_there(scenario), **fields}
        return Preview.of(self._line.ask("POST", "/execution/plan", asked))

    def plan_replay(
        self,
        run: str = "last",
        *,
        set: Mapping[str, Value] | None = None,
        **given: Unpack[InstallOptions],
    ) -> Preview:
        """What `replay` would do with the same arguments, and when; nothing is run.

        Raises:
            ServiceError: A replay would be refused.
        """
        asked = {"run": run, **run_fields.fields({"set": set, **given})}
        return Preview.of(self._line.ask("POST", "/execution/plan_replay", asked))

    def _started(
        self, how: str, fields: Mapping[str, object], queue: bool, at: datetime | None
    ) -> Started:
        """A run that was asked for, once it takes commands, is over, or waits in the queue."""
        when: dict[str, object] = {"queue": True} if queue else {}
        if at is not None:
            when["at"] = at.isoformat()
        answer = self._line.ask("PATCH", f"/execution/{how}", {**fields, **when})
        started = Started.of(answer)
        return started if started.state == QUEUED else self._taking_commands(started)

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
        within = f"within {self._line.timeout_s:g} s"
        raise PeerError(f"run {started.run} was not ready for commands {within}")
