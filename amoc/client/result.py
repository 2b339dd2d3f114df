"""The result of a run: figures as attributes, seconds as a data frame, HTML for notebooks.

Figures are those of the run's tables: of the whole run or, with a warm-up, of the time after it.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Self
from urllib.parse import quote
from weakref import finalize

from amoc.base.clock import format_duration
from amoc.base.errors import AmocError, ExitCode
from amoc.base.text import counted
from amoc.client.fetched import fetch
from amoc.client.figures import Check, Crash, Failure, Named, Request, Threshold, Timer, Users
from amoc.client.rest_client import RestClient
from amoc.metrics.step_names import AGGREGATED
from amoc.results import saved_run
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import SavedRun
from amoc.results.step_rows import percent
from amoc.results.summary import steady_part
from amoc.results.summary_types import Measured, Summary, ThrottlePart

if TYPE_CHECKING:
    import pandas as pd


class RunFigures(ABC):
    """The figures of a run.

    Attributes:
        summary: All figures as they are in ``summary.json``, see `docs/summary.md`.
    """

    def __init__(self, summary: Summary) -> None:
        """Use the figures of a summary."""
        self.summary = summary

    # Outcome

    @property
    def id(self) -> str:
        """The run's id."""
        return self.summary["run"]["id"]

    @property
    def verdict(self) -> str:
        """``ok``, ``failed thresholds`` and others, see `docs/summary.md`."""
        return self.summary["run"]["verdict"]

    @property
    def exit_code(self) -> ExitCode | None:
        """Exit code of ``amoc run``; None if unknown, as for a killed run."""
        code = self.summary["run"].get("exit_code")
        return None if code is None else ExitCode(code)

    @property
    def ok(self) -> bool:
        """Whether the run completed without any failure: its exit code is 0."""
        return self.exit_code == ExitCode.OK

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons for the verdict."""
        return tuple(self.summary["run"].get("reasons", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that do not change the verdict."""
        return tuple(self.summary["run"].get("notes", ()))

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """All thresholds, in the order in which they were given."""
        return tuple(map(Threshold.of, self.summary.get("thresholds", ())))

    @property
    def why(self) -> str:
        """The verdict and the reasons for it, one per line, for the message of an assertion."""
        lines = [": ".join([self.verdict, *self.reasons[:1]]), *self.reasons[1:]]
        if not self.ok:
            lines += [f"{one.count:,} × {one.request}: {one.cause}" for one in self.failures[:5]]
        return "\n".join([*lines, f"scenario: {self.summary['run']['scenario']}"])

    def check(self) -> Self:
        """Return the result itself if it is `ok`.

        Raises:
            AssertionError: It is not; the message is `why`.
        """
        if not self.ok:
            raise AssertionError(self.why)
        return self

    # Figures

    @property
    def _part(self) -> Measured:
        return steady_part(self.summary) or self.summary

    @property
    def duration_s(self) -> float:
        """Time from when the first user could start until all had finished."""
        return self.summary["run"]["duration_s"]

    @cached_property
    def requests(self) -> Mapping[str, Request]:
        """Steps by name; ``Aggregated`` is all requests together."""
        found = self._part.get("steps", {})
        return Named("request", {name: Request.of(name, one) for name, one in found.items()})

    @cached_property
    def checks(self) -> Mapping[str, Check]:
        """Checks by name."""
        found = self._part.get("checks", {})
        return Named("check", {name: Check.of(one, name=name) for name, one in found.items()})

    @cached_property
    def timers(self) -> Mapping[str, Timer]:
        """Timers by name, including those of requests."""
        found = self._part["timers"]
        return Named("timer", {name: Timer.of(name, one) for name, one in found.items()})

    @cached_property
    def counters(self) -> Mapping[str, int]:
        """Totals by name."""
        return Named("counter", self._part["counters"])

    @cached_property
    def counters_per_s(self) -> Mapping[str, float | None]:
        """Counts per second while the run was running."""
        return Named("counter", self._part["counters_per_s"])

    @cached_property
    def gauges(self) -> Mapping[str, float | None]:
        """Last values of gauges; None if one was not finite."""
        return Named("gauge", self.summary["gauges"])

    @cached_property
    def throttles(self) -> Mapping[str, ThrottlePart]:
        """Throttles as in the summary."""
        return Named("throttle", self._part["throttles"])

    @property
    def users(self) -> Users:
        """Numbers of users by outcome, in the whole run."""
        return Users.of(self.summary["users"])

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Failed requests, by request and cause, most frequent first."""
        every = [one for request in self.requests.values() for one in request.causes]
        return tuple(sorted(every, key=lambda one: (-one.count, one.request, one.cause)))

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """Iterations that crashed, by cause, most frequent first."""
        return tuple(map(Crash.of, self.summary["crashes"]))

    def __repr__(self) -> str:
        run = self.summary["run"]
        facts = [f"{run['scenario']} took {format_duration(run['duration_s'])}"]
        whole = self.requests.get(AGGREGATED)
        if whole is not None and whole.count:
            facts += [counted(whole.count, "request"), f"{percent(whole.failed_share)} failed"]
        if whole is not None and whole.p95 is not None:
            facts.append(f"p95 {format_duration(whole.p95)}")
        return f"<{type(self).__name__} {self.verdict!r}: {', '.join(facts)}; {self._where()}>"

    def _where(self) -> str:
        """Return what identifies the run."""
        return self.id

    # All seconds

    @property
    @abstractmethod
    def saved(self) -> SavedRun:
        """The run with all its data."""

    @abstractmethod
    def _link(self) -> tuple[str, str] | None:
        """Return address and text of a link to the full report; None if there is none."""

    def to_pandas(self, what: str = "seconds") -> pd.DataFrame:
        """Return a data frame with the columns of `docs/export.md`.

        Args:
            what: ``seconds``: a row per second, indexed by ``t_s``; ``requests``: a row per step,
                indexed by name; ``failures``: a row per step and cause.

        Raises:
            ValueError: `what` is something else.
            AmocError: pandas is not installed, or the run cannot be read.
        """
        from amoc.results.export import tables

        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise AmocError(
                "to_pandas() requires pandas, which is not installed (pip install pandas)"
            ) from None
        forms: dict[str, tuple[Callable[[SavedRun], Iterable[str]], str | None]] = {
            "seconds": (tables.csv_lines, "t_s"),
            "requests": (tables.request_lines, "name"),
            "failures": (tables.failure_lines, None),
        }
        if what not in forms:
            raise ValueError(f"what must be {', '.join(forms)}, got {what!r}")
        lines, index = forms[what]
        return pd.read_csv(io.StringIO(_joined(lines(self.saved))), index_col=index)

    def _repr_html_(self) -> str:
        from amoc.client import notebook

        return notebook.page(self.summary, self._part, self.saved.points, self._link())


class RunResult(RunFigures):
    """The result of a run: its figures, and its files.

    Attributes:
        output: The last lines that the run printed; empty for results of `read_run`.
    """

    def __init__(self, saved: SavedRun, output: str = "") -> None:
        """Create the result of a run that was read from its directory."""
        super().__init__(saved.summary)
        self._saved = saved
        self.output = output

    @property
    def saved(self) -> SavedRun:
        """The run as read from its directory."""
        return self._saved

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.saved.directory

    @property
    def report(self) -> Path:
        """The HTML report."""
        return RunDirectory(self.directory).report

    @property
    def why(self) -> str:
        """The verdict, the reasons for it, and the path of the report."""
        return f"{super().why}\nreport: {self.report}"

    def _where(self) -> str:
        return str(self.directory)

    def _link(self) -> tuple[str, str] | None:
        if not self.report.is_file():
            return None
        return self.report.resolve().as_uri(), f"Report: {self.report}"


class FetchedResult(RunFigures):
    """The result of a server's run. Its seconds are downloaded when they are needed."""

    def __init__(self, server: RestClient, summary: Summary) -> None:
        """Create the result of a run of the server."""
        super().__init__(summary)
        self._server = server

    @cached_property
    def saved(self) -> SavedRun:
        """The run, downloaded with all its seconds.

        The local copy exists as long as this object, even if the run is deleted on the server.

        Raises:
            ServiceError: The run no longer exists.
            PeerError: The server cannot be reached.
        """
        directory = mkdtemp(prefix="amoc-fetched-")
        finalize(self, rmtree, directory, ignore_errors=True)
        return saved_run.load(RunDirectory(fetch(self._server, self.id, Path(directory))))

    def _link(self) -> tuple[str, str] | None:
        return f"{self._server}/dashboard/runs/{quote(self.id, safe='')}", f"Run {self.id}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
