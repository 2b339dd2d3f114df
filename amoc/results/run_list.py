"""The list of runs: each run's plan and outcome in a line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from amoc.base.clock import format_duration, time_of_day
from amoc.base.json_plain import JsonObject, known_number, number_in, object_in, text_in
from amoc.metrics.step_names import AGGREGATED
from amoc.results import journal, summary_file
from amoc.results.run_directory import BASE, RunDirectory, runs
from amoc.results.step_rows import NO_VALUE, failed
from amoc.results.summary_types import Summary

QUEUED, STARTING, RUNNING, FAILED = "queued", "starting", "running", "failed"
"""States of a run requested from a server; ``failed`` means that it could not begin."""
MAX_KNOWN = 2_000
"""Runs whose summaries are kept in memory."""
HEADS = (
    "run",
    "scenario",
    "started",
    "took",
    "users",
    "requests",
    "failures",
    "verdict",
    "comment",
)


@dataclass(frozen=True)
class ListedRun:
    """A run in the list; None stands for what its files do not contain.

    Attributes:
        name: The name of its directory.
        directory: Its path.
        scenario: The scenario.
        started_at: When it started, in ISO 8601.
        duration_s: How long it took.
        users: The most users at once.
        requests: The number of requests; `failures` of them failed.
        p95_s: The 95th percentile of the times of the others.
        verdict: As in its summary; ``running``, or ``killed`` without a summary.
        comment: The operator's comment.
    """

    name: str
    directory: str
    scenario: str
    started_at: str
    verdict: str
    comment: str
    duration_s: float | None = None
    users: int | None = None
    requests: int | None = None
    failures: int | None = None
    p95_s: float | None = None

    def to_json(self) -> JsonObject:
        """Return the run as JSON."""
        return asdict(self)


def newest(limit: int, base: str = BASE) -> list[ListedRun]:
    """Return the newest runs in `base`, newest first: ``last``, ``last~1`` and so on."""
    return [listed(one) for one in islice(runs(base), limit)]


def listed(directory: RunDirectory) -> ListedRun:
    """Return the list entry of a run that has begun."""
    try:
        status = directory.summary.stat()
        over = _over(str(directory.path), directory.id, status.st_mtime_ns, status.st_size)
    except OSError:
        over = None
    if over is None:
        begun = journal.run_entry(directory.journal) or {}
        scenario = begun.get("scenario") or {}
        return ListedRun(
            directory.id,
            str(directory.path),
            str(scenario.get("source", "") if isinstance(scenario, dict) else scenario),
            str(begun.get("started_at", "")),
            "running" if directory.answers() else "killed",
            str(object_in(begun, "plan").get("comment", "")),
        )
    return over


@lru_cache(maxsize=MAX_KNOWN)
def _over(path: str, name: str, _changed_ns: int, _size: int) -> ListedRun | None:
    """Return a run that has left a summary, which is read again only if it has changed."""
    summary = summary_file.read(RunDirectory(Path(path)).summary)
    return None if summary is None else of_summary(name, path, summary)


def of_summary(name: str, path: str, summary: Summary) -> ListedRun:
    """Return the list entry of a run with this summary.

    Args:
        name: The name of its directory.
        path: The directory's path.
        summary: The summary, final or preliminary.
    """
    # It may be from another version, and one such run must not prevent the list.
    run, whole = object_in(summary, "run"), object_in(object_in(summary, "steps"), AGGREGATED)
    return ListedRun(
        name,
        path,
        text_in(run, "scenario"),
        text_in(run, "started_at"),
        text_in(run, "verdict"),
        text_in(run, "comment"),
        known_number(run.get("duration_s")),
        int(number_in(object_in(summary, "users"), "peak")),
        int(number_in(whole, "count")) if whole else None,
        int(number_in(whole, "failures")) if whole else None,
        known_number(object_in(whole, "times").get("p95_s")),
    )


def cells(one: ListedRun) -> list[str]:
    """Return the cells of a run under `HEADS`."""
    share = one.failures / one.requests if one.requests and one.failures is not None else None
    counted = [NO_VALUE if n is None else f"{n:,}" for n in (one.users, one.requests)]
    return [
        one.name,
        one.scenario,
        time_of_day(one.started_at),
        NO_VALUE if one.duration_s is None else format_duration(one.duration_s),
        *counted,
        NO_VALUE if one.failures is None else failed(one.failures, share),
        one.verdict,
        one.comment,
    ]
