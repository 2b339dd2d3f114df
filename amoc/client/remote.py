"""``amoc.Client``: a server's runs from a program, with Python's own HTTP client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, Unpack
from urllib.parse import quote, urlencode

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, UsageError, os_error_as
from amoc.client import options, remote_commands, run_fields
from amoc.client.answers import Node, Preview, ScenarioInfo, Started, Status
from amoc.client.http_line import TIMEOUT_S, Line, parsed, token_in
from amoc.client.options import Value
from amoc.client.remote_commands import Commands
from amoc.client.remote_runs import LOOK_S, Runs
from amoc.client.run_fields import InstallOptions, RunOptions
from amoc.client.sending import name_there
from amoc.results.run_list import QUEUED

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, int | str]
"""A scenario's name there, a file here, or several of both with their loads."""
_ARCHIVES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
}


class Client(Commands, Runs):
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
