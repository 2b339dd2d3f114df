"""The list of runs in the dashboard: rows of text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from amoc.results.report.headline import tone_of
from amoc.results.report.texts import figure
from amoc.results.run_list import FAILED, QUEUED, RUNNING, STARTING, ListedRun, cells
from amoc.scenario.scenario_files import file_names

EARLY = (QUEUED, STARTING, FAILED)
"""States of runs that do not have a directory yet."""


@dataclass(frozen=True)
class RunRow:
    """A run in the list.

    Attributes:
        name: Its id.
        verdict: Its verdict, or its state.
        tone: As for a `Headline`.
        over: Whether it has final results.
        end: Label of the button that ends it.
        failed: Whether it failed to start.
        shown: Whether it has a page.
        error: Why it failed to start.
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
    """Return a run as a row of the list; `error` is why it failed to start."""
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
    """Return the runs whose texts contain all words of `query`."""
    words = query.lower().split()

    def text_of(one: ListedRun) -> str:
        return f"{one.name} {one.scenario} {one.verdict} {one.comment}".lower()

    return [one for one in runs if all(word in text_of(one) for word in words)]
