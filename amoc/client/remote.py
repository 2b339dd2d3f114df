"""``amoc.Client``: controls a server's runs, with the standard library's HTTP client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, Unpack
from urllib.parse import quote, urlencode

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, UsageError, os_error_as
from amoc.base.json_plain import JsonObject
from amoc.client import live, options, remote_commands, run_fields
from amoc.client.answers import Node, Preview, RunInfo, ScenarioInfo, Second, Started, Status, each
from amoc.client.fetched import summary_of
from amoc.client.options import Value
from amoc.client.remote_commands import Commands
from amoc.client.rest_client import TIMEOUT_S, RestClient, parsed, path_of, token_in
from amoc.client.result import FetchedResult
from amoc.client.run_fields import InstallOptions, RunOptions
from amoc.client.sending import name_on_server
from amoc.results.run_list import QUEUED

POLL_S = 0.25
PAGE = 1_000

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, int | str]
"""Name of a scenario of the server, a local file, or several of both with their loads."""
_ARCHIVES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
}


class Client(Commands):
    """A server (``amoc serve``), with methods for the commands of the command line.

    Runs are identified by id, or as ``last``, ``last~1`` and so on. Commands without a run apply to
    the only one that is running. Each call is a separate request, so threads can share a client.
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
        """Create a client of the server at `url`. Nothing is sent yet.

        Args:
            url: URL of the server; ``https://…`` for TLS.
            token: Token for authorization, if the server requires one.
            token_file: A file that contains only the token.
            ca_file: CA certificates to verify the server with, instead of the system's.
            timeout_s: Maximum wait for data from the server.

        Raises:
            UsageError: An argument is invalid.
        """
        if token is not None and token_file is not None:
            raise UsageError("token and token_file are mutually exclusive; give one of them")
        if token_file is not None:
            token = token_in(os.fspath(token_file))
        ca = None if ca_file is None else os.fspath(ca_file)
        self._server = RestClient.to(url, token, timeout_s, ca)

    def __repr__(self) -> str:
        return f"<Client of {self._server}>"

    # The server

    def status(self) -> Status:
        """Return the status of the server, and of each running run."""
        return Status.of(self._server.request("GET", "/status"))

    def nodes(self) -> Mapping[str, str]:
        """Return the states of the nodes of all runs, by name."""
        found: Mapping[str, str] = self._server.request("GET", "/nodes")["nodes"]
        return found

    def node(self, name: str) -> Node:
        """Return a node and its users."""
        return Node.of(self._server.request("GET", f"/status/{quote(name, safe='')}"))

    def users(self, run: str | None = None) -> Mapping[str, int]:
        """Return the users of a running run: counts by state.

        Raises:
            UsageError: It is not running, or several are and none is named.
        """
        return remote_commands.running(self._server, run, "run=").users

    # Scenarios

    def scenarios(self) -> Sequence[str]:
        """Return the names of all scenarios."""
        return tuple(self._server.request("GET", "/scenarios")["scenarios"])

    def scenario(self, name: str | os.PathLike[str]) -> ScenarioInfo:
        """Return the description of a scenario: its docstring, settings and thresholds.

        Args:
            name: A scenario of the server; or a local file, which is uploaded but not added to the
                server's scenarios.
        """
        called = self._name_there(name)
        return ScenarioInfo.of(self._server.request("GET", f"/scenarios/info/{quote(called)}"))

    def _name_there(self, scenario: Source) -> str:
        return name_on_server(self._server, options.source(scenario))

    def upload(self, file: str | os.PathLike[str], name: str | None = None) -> ScenarioInfo:
        """Upload a scenario: a Python file, or a zip or tar archive with it and its modules.

        Args:
            file: The file.
            name: Name of the scenario; the file's without extensions by default.

        Raises:
            ServiceError: The scenario cannot be loaded, or uploads are disabled.
            UsageError: The file cannot be read.
        """
        path = Path(file)
        with os_error_as(UsageError, f"{path} cannot be read"):
            data = path.read_bytes()
        called = name or path.name.partition(".")[0]
        kind = _ARCHIVES.get(path.suffix, "text/x-python")
        where = f"/scenarios/upload?{urlencode({'name': called})}"
        return ScenarioInfo.of(parsed(self._server.fetch("PUT", where, data, kind)))

    # Starting

    def runs(self, limit: int = 100) -> Sequence[RunInfo]:
        """Return the newest runs, newest first, after those that are queued."""
        return each(RunInfo, self._server.request("GET", f"/runs?limit={limit}")["runs"])

    def run(self, run: str = "last") -> RunInfo:
        """Return a run, by its id, or ``last``, ``last~1`` and so on."""
        return RunInfo.of(self._server.request("GET", path_of(run)))

    def result(self, run: str = "last") -> FetchedResult:
        """Return the results of a run; of a running one, the results so far."""
        return FetchedResult(self._server, summary_of(self._server, run))

    def report(self, run: str = "last", to: str | os.PathLike[str] | None = None) -> str:
        """Return the HTML report of a run. Also write it to the file `to`, if given."""
        data = self._server.fetch("GET", path_of(run, "report"))
        if to is not None:
            Path(to).write_bytes(data)
        return data.decode()

    def log(self, run: str = "last", lines: int = 100) -> Sequence[JsonObject]:
        """Return the newest lines of a run's logs, from all of its processes, in order."""
        found = self._server.request("GET", path_of(run, f"log?lines={lines}"))
        return tuple(found["lines"])

    def compare(self, first: str, second: str) -> JsonObject:
        """Compare two runs, as ``amoc compare --json`` does."""
        return self._server.request("GET", path_of(first, f"compare/{quote(second, safe='')}"))

    def delete(self, run: str) -> None:
        """Delete all files of a run, which must have ended."""
        self._server.request("DELETE", path_of(run))

    def wait(self, run: str = "last", timeout_s: float | None = None) -> RunInfo:
        """Wait until a run has ended.

        Raises:
            TimeoutError: It has not after `timeout_s`.
        """
        give_up_ns = None if timeout_s is None else now_ns() + int(timeout_s * S_NS)
        while not (found := self.run(run)).over:
            if give_up_ns is not None and now_ns() > give_up_ns:
                raise TimeoutError(f"run {found.id} has not ended after {timeout_s:g} s")
            run = found.id  # `last` may mean another run later
            time.sleep(POLL_S)
        return found

    def series(self, run: str = "last", after: int = 0) -> Iterator[Second]:
        """Yield the seconds that a run has so far, in order, starting after a number."""
        run = self.run(run).id
        while True:
            found = self._server.request("GET", path_of(run, f"series?after={after}&limit={PAGE}"))
            yield from each(Second, found["seconds"])
            after = found["last"]
            if after >= found["total"] or not found["seconds"]:
                return

    def live(
        self, run: str = "last", after: int = 0, patience_s: float = live.PATIENCE_S
    ) -> Iterator[Second]:
        """Yield each second of a run as soon as it is known, until the run ends.

        Reconnects when the connection is lost. No second is missed or repeated.

        Args:
            run: The run.
            after: Start after the second with this number.
            patience_s: How long the server may be unreachable.

        Raises:
            ServiceError: There is no such run.
            PeerError: The server was unreachable for too long.
        """
        return live.seconds(self._server, self.run(run).id, after, patience_s)

    def start(
        self,
        scenario: Source,
        *,
        queue: bool = False,
        at: datetime | None = None,
        **given: Unpack[RunOptions],
    ) -> Started:
        """Start a run. Returns when it takes commands, or is queued.

        Args:
            scenario: A scenario of the server, as in `scenarios`; or a local file, ``"shop.py"``,
                which is uploaded with its directory but not added to the server's scenarios; or
                several with their loads.
            queue: Wait until earlier runs have ended, instead of being refused.
            at: Start time, with time zone; the run is queued until then.
            given: The options of `amoc.run`, see `RunOptions`.

        Raises:
            ServiceError: The server refuses: 409 if another run is running, 422 for invalid values.
        """
        return self._started("start", self._asked(scenario, given), queue, at)

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
        """Repeat a run, including the commands that it received. Returns as `start` does.

        Args:
            run: Its id, or ``last``, ``last~1`` and so on.
            set: Settings to change. Secrets are not stored with a run, so they must be given again.
            comment: Replaces the comment of the run.
            queue: As for `start`.
            at: As for `start`.
            given: How to install dependencies of the scenario, see `InstallOptions`.

        Raises:
            ServiceError: The server refuses.
        """
        asked = {"run": run, **run_fields.fields({"set": set, "comment": comment, **given})}
        return self._started("replay", asked, queue, at)

    def plan(self, scenario: Source, **given: Unpack[RunOptions]) -> Preview:
        """Return a preview of what `start` would do with the same arguments. Runs nothing.

        Raises:
            ServiceError: The server would refuse the start.
        """
        asked = self._asked(scenario, given)
        return Preview.of(self._server.request("POST", "/execution/plan", asked))

    def plan_replay(
        self,
        run: str = "last",
        *,
        set: Mapping[str, Value] | None = None,
        **given: Unpack[InstallOptions],
    ) -> Preview:
        """Return a preview of what `replay` would do with the same arguments. Runs nothing.

        Raises:
            ServiceError: The server would refuse the replay.
        """
        asked = {"run": run, **run_fields.fields({"set": set, **given})}
        return Preview.of(self._server.request("POST", "/execution/plan_replay", asked))

    def _asked(self, scenario: Source, given: Mapping[str, object]) -> dict[str, object]:
        fields = run_fields.fields(given)  # before anything is sent: it may raise
        return {"scenario": self._name_there(scenario), **fields}

    def _started(
        self, how: str, fields: Mapping[str, object], queue: bool, at: datetime | None
    ) -> Started:
        """Start a run, and wait until it takes commands, has ended, or is queued."""
        when: dict[str, object] = {"queue": True} if queue else {}
        if at is not None:
            when["at"] = at.isoformat()
        answer = self._server.request("PATCH", f"/execution/{how}", {**fields, **when})
        started = Started.of(answer)
        return started if started.state == QUEUED else self._taking_commands(started)

    def _taking_commands(self, started: Started) -> Started:
        """Wait until the run takes commands or has ended, as init() may take a while.

        Raises:
            PeerError: Neither happened in time.
        """
        give_up_ns = now_ns() + int(self._server.timeout_s * S_NS)
        while now_ns() < give_up_ns:
            if any(one.run == started.run for one in self.status().runs):
                return started
            if (found := self.run(started.run)).over:
                return replace(started, state=found.state)
            time.sleep(POLL_S)
        within = f"within {self._server.timeout_s:g} s"
        raise PeerError(f"run {started.run} was not ready for commands {within}")
