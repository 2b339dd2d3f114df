"""The result of a run: figures as attributes, seconds as a data frame, a page for notebooks.

Figures are those of the run's tables: of the whole run, or of what followed its warm-up.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from weakref import finalize

from amoc.base.clock import format_duration
from amoc.base.errors import AmocError, ExitCode
from amoc.base.text import counted
from amoc.client.fetched import fetch
from amoc.client.figures import Check, Crash, Failure, Named, Request, Threshold, Timer, Users
from amoc.client.http_line import Line
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
        """The figures in a summary."""
        self.summary = summary

    # What came of it

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
        """What ``amoc run`` ended with; None where that is not known, as of a killed run."""
        code = self.summary["run"].get("exit_code")
        return None if code is None else ExitCode(code)

    @property
    def ok(self) -> bool:
        """Whether the run completed, and nothing is to be said against it: the exit code is 0."""
        return self.exit_code == ExitCode.OK

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is."""
        return tuple(self.summary["run"].get("reasons", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What does not change the verdict, but should be known."""
        return tuple(self.summary["run"].get("notes", ()))

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """All thresholds, in the order in which they were given."""
        return tuple(map(Threshold.of, self.summary.get("thresholds", ())))

    @property
    def why(self) -> str:
        """The verdict and what is behind it, a line for each thing: for an assertion's message."""
        lines = [": ".join([self.verdict, *self.reasons[:1]]), *self.reasons[1:]]
        if not self.ok:
            lines += [f"{one.count:,} × {one.request}: {one.cause}" for one in self.failures[:5]]
        return "\n".join([*lines, f"scenario: {self.summary['run']['scenario']}"])

    def check(self) -> Self:
        """The result itself if it is `ok`.

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
        """From when the first user could start until all had left."""
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
        """Timers by name, those of requests included."""
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
        """Gauges as they were last; None where one was not finite."""
        return Named("gauge", self.summary["gauges"])

    @cached_property
    def throttles(self) -> Mapping[str, ThrottlePart]:
        """Throttles as they are in the summary."""
        return Named("throttle", self._part["throttles"])

    @property
    def users(self) -> Users:
        """What became of the users of the whole run."""
        return Users.of(self.summary["users"])

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Requests that failed, by request and cause, the most frequent first."""
        every = [one for request in self.requests.values() for one in request.causes]
        return tuple(sorted(every, key=lambda one: (-one.count, one.request, one.cause)))

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """Iterations that raised, by cause, the most frequent first."""
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
        """What tells the run from others."""
        return self.id

    # All seconds

    @property
    @abstractmethod
    def saved(self) -> SavedRun:
        """All that the run has written."""

    @abstractmethod
    def _link(self) -> tuple[str, str] | None:
        """The address of a page with all of it, and what the link says; None if there is none."""

    def to_pandas(self, what: str = "seconds") -> pd.DataFrame:
        """A data frame with the columns of `docs/export.md`.

        Args:
            what: ``seconds``: a row for each second, by ``t_s``; ``requests``: one for each step,
                by name; ``failures``: one for each step and cause.

        Raises:
            ValueError: `what` is something else.
            AmocError: pandas is not installed, or the run cannot be read.
        """
        from amoc.results.export import tables

        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise AmocError(
                "to_pandas() needs pandas, which is not installed (pip install pandas)"
            ) from None
        forms: dict[str, tuple[Any, str | None]] = {
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
    """What a run has shown: its figures, and where they are.

    Attributes:
        output: What the run printed, the last lines of it; empty for one that was read back.
    """

    def __init__(self, saved: SavedRun, output: str = "") -> None:
        """The result of a run that was read back."""
        super().__init__(saved.summary)
        self._saved = saved
        self.output = output

    @property
    def saved(self) -> SavedRun:
        """The run as it was read back from its directory."""
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
        """The verdict and what is behind it, and where the report is."""
        return f"{super().why}\nreport: {self.report}"

    def _where(self) -> str:
        return str(self.directory)

    def _link(self) -> tuple[str, str] | None:
        if not self.report.is_file():
            return None
        return self.report.resolve().as_uri(), f"Report: {self.report}"


class FetchedResult(RunFigures):
    """What a run of a server has shown; its seconds are fetched when they are needed."""

    def __init__(self, line: Line, summary: Summary) -> None:
        """The result of a run that the server at `line` knows."""
        super().__init__(summary)
        self._line = line

    @cached_property
    def saved(self) -> SavedRun:
        """The run, fetched with all its seconds.

        It is on this host for as long as the result is, also if the run is deleted there.

        Raises:
            ServiceError: It is not there any more.
            PeerError: There is no server.
        """
        directory = mkdtemp(prefix="amoc-fetched-")
        finalize(self, rmtree, directory, ignore_errors=True)
        return saved_run.load(RunDirectory(fetch(self._line, self.id, Path(directory))))

    def _link(self) -> tuple[str, str] | None:
        return f"{self._line}/dashboard/runs/{quote(self.id, safe='')}", f"Run {self.id}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
