"""Steps and checks in the terminal, shared by the live view and the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.text import Text

from amoc.base.text import printable
from amoc.cli.view.table_layout import Cell, Section
from amoc.metrics.step_names import AGGREGATED, COUNT
from amoc.results.counts import Count, counter
from amoc.results.step_rows import cells, check_cells, heads, sentence
from amoc.results.steps import executed, failures, responds, steps
from amoc.results.summary_types import CheckPart, StepPart
from amoc.runtime.controller.status import Status

MAX_FAILURES = 10
"""Maximum number of causes in the terminal, most frequent first."""
_BAD = "bold red"


def row(name: str, one: StepPart, with_response: bool) -> list[Text]:
    """Return a step as cells for `heads`, starting with its name."""
    return _row(name, cells(one, with_response), one["failures"])


def check_row(name: str, one: CheckPart) -> list[Text]:
    """Return a check as cells, starting with its name."""
    return _row(name, check_cells(one), one["failed"])


def _row(name: str, texts: Sequence[str], failures: int) -> list[Text]:
    """Return a name and cells, the second of which is the number of failures."""
    count, failed, *rest = texts
    bad = _BAD if failures else ""
    return [Text(printable(name)), Text(count), Text(failed, bad), *map(Text, rest)]


def sentences(found: Mapping[str, StepPart]) -> list[str]:
    """Return why steps failed, most frequent cause first."""
    every = failures(found)
    told = [sentence(one) for one in every[:MAX_FAILURES]]
    if (more := len(every) - MAX_FAILURES) > 0:
        rest = sum(one.cause["count"] for one in every[MAX_FAILURES:])
        told.append(f"{rest:,} × {more} other causes (--json has all)")
    return told


def live(status: Status, now: Callable[[Count], float]) -> list[Section]:
    """Yield the sections of steps and of their failures, for the live view.

    Args:
        status: Status of the run.
        now: Returns the current rate of a counter, per second.
    """
    totals = status.totals
    found = executed(steps(totals.whole, totals.known, {}))
    with_response = responds(found)
    rows: list[Sequence[Cell]] = []
    busiest = sorted(found, key=lambda name: (name != AGGREGATED, -found[name]["count"], name))
    for name in busiest:
        one = found[name]
        count, failed, per_s, *times = cells(one, with_response)
        how_many = (failed, _BAD if one["failures"] else "")
        rows.append((name, count, how_many, per_s, f"{now(counter(name + COUNT)):,.1f}", *times))
    why: list[Sequence[Cell]] = [((sentence(one), "red"),) for one in failures(found)]
    first, *others = heads(with_response)
    names = (first, *others[:2], "now/s", *others[2:])
    return [
        Section("requests", names, rows, len(rows), (3, 8, 5), "total last"),
        Section("failures", (), why, len(why)),
    ]
