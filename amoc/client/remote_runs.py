"""The runs of a server, those that run and those that are over, for `amoc.client.remote.Client`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from amoc.base.clock import S_NS, now_ns
from amoc.client import live
from amoc.client.answers import RunInfo, Second, each
from amoc.client.http_line import Line, path_of
from amoc.client.result import FetchedResult

LOOK_S = 0.25
PAGE = 1_000


class Runs:
    """Runs by their ids, or as ``last``, ``last~1`` and so on."""

    _line: Line

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
