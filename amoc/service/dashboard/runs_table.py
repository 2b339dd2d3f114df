"""The runs as the dashboard lists them: rows of text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from amoc.results.report.headline import tone_of
from amoc.results.report.texts import figure
from amoc.results.run_list import FAILED, QUEUED, RUNNING, STARTING, ListedRun, cells
from amoc.scenario.scenario_files import file_names

EARLY = (QUEUED, STARTING, FAILED)
"""What a run is called that has no directory yet."""


@dataclass(frozen=True)
class RunRow:
    """A run in the list.

    Attributes:
        name: Its id.
        verdict: What came of it, or what it does.
        tone: As of a `Headline`.
        over: Whether it has results that do not change any more.
        end: What the button is called that ends it.
        failed: Whether it could not begin.
        shown: Whether it has a page.
        error: Why it could not begin.
    """

    name: str
    scenario: str
    verdict: str
    tone: str
    started: str
    took: str
    users: str
    requests: str
    failures: str
    p95: str
    comment: str
    over: bool
    end: str
    failed: bool
    shown: bool
    error: str = ""


def row(one: ListedRun, error: str = "") -> RunRow:
    """A run in the list; `error` is why it could not begin."""
    early = one.verdict in EARLY and one.duration_s is None
    _, _, started, took, users, requests, failures, verdict, comment = cells(one)
    return RunRow(
        one.name,
        file_names(one.scenario),
        verdict,
        tone_of(verdict),
        started,
        took,
        users,
        requests,
        failures,
        figure(one.p95_s, "s"),
        comment,
        over=not early and one.verdict != RUNNING,
        end="Remove" if early and one.verdict == QUEUED else "Stop",
        failed=early and one.verdict == FAILED,
        shown=not early,
        error=error,
    )


def matching(runs: Iterable[ListedRun], query: str) -> list[ListedRun]:
    """Those in whose texts all words of `query` are."""
    words = query.lower().split()

    def says(one: ListedRun) -> str:
        return f"{one.name} {one.scenario} {one.verdict} {one.comment}".lower()

    return [one for one in runs if all(word in says(one) for word in words)]
