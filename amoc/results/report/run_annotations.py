"""Events of a run for the report: marks and bands in charts, and rows of a table. Pure.

A mark is a moment that may explain a figure: a command, a worker that was lost, a note. It is a
line with a number in each chart over time, and the same number in the table. A band is a stretch of
time that is not to be read like the rest: the warm-up, a pause, a late node. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from amoc.results.report.downsample import late_nodes
from amoc.results.report.event_dedup import together
from amoc.results.report.texts import clip, moment, times
from amoc.results.series import Point

MAX_MARKS = 200
MAX_HAPPENED = 500
MAX_LABEL = 120
_SERIOUS = ("warning", "error")
_Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Happened:
    """A row of the table of what happened.

    Attributes:
        t_s: When, since the first user could start; None before that.
        at: The same as a time of day, UTC.
        kind: What it was.
        text: What there is to say.
        comment: What the operator said.
        mark: Its number in the charts; 0 if it is not there.
        serious: Whether it is a warning, an error or a refusal.
        count: How often it happened.
        last_s: When it happened last.
    """

    t_s: float | None
    at: str
    kind: str
    text: str
    comment: str = ""
    mark: int = 0
    serious: bool = False
    count: int = 1
    last_s: float | None = None

    @property
    def whole(self) -> str:
        """The text, and how often it happened."""
        until = "" if self.last_s is None else f" until {moment(self.last_s)}"
        return f"{self.text} – {times(self.count)}{until}" if self.count > 1 else self.text


@dataclass(frozen=True)
class Band:
    """A stretch of time that charts shade.

    Attributes:
        kind: ``warmup``, ``paused`` or ``late``.
        from_s: Since the first user could start.
        to_s: The same.
        label: What it is.
    """

    kind: str
    from_s: float
    to_s: float
    label: str


def happened(journal: Iterable[_Entry], stretches: Stretches) -> tuple[list[Happened], int]:
    """The rows in order of time, and how many there were no room for.

    Args:
        journal: The entries of the run's journal.
        stretches: Of the run, for late nodes.
    """
    rows = [
        replace(row, count=one.count, last_s=one.last_s)
        for one in together(journal)
        if (row := _row(one.entry)) is not None
    ]
    rows += [
        Happened(
            band.from_s,
            "",
            "late node",
            f"{band.label} for {band.to_s - band.from_s:.3g} s",
            serious=True,
        )
        for band in late(stretches)
    ]
    rows.sort(key=lambda row: float("-inf") if row.t_s is None else row.t_s)
    kept, missing = rows, max(0, len(rows) - MAX_HAPPENED)
    if missing:
        half = MAX_HAPPENED // 2
        kept = rows[:half] + rows[-half:]
    return _numbered(kept), missing


def _numbered(rows: Sequence[Happened]) -> list[Happened]:
    """`rows` with numbers for those that become marks."""
    numbered, number = [], 0
    for row in rows:
        marked = row.t_s is not None and row.t_s >= 0 and (row.kind != "event" or row.serious)
        if marked and row.kind not in ("end", "late node") and number < MAX_MARKS:
            number += 1
            numbered.append(replace(row, mark=number))
        else:
            numbered.append(row)
    return numbered


def _row(entry: _Entry) -> Happened | None:
    kind, t_s, at = entry.get("kind"), entry.get("t_s"), clip(entry.get("at", ""), 40)
    t_s = t_s if isinstance(t_s, int | float) else None
    if kind == "command":
        return _command(entry, t_s, at)
    if kind == "event" and entry.get("level") != "trace":
        serious = entry.get("level") in _SERIOUS
        return Happened(t_s, at, "event", clip(entry.get("text", "")), serious=serious)
    if kind == "end":
        text = " – ".join(str(entry[key]) for key in ("verdict", "message") if entry.get(key))
        return Happened(t_s, at, "end", clip(text))
    return None


def _command(entry: _Entry, t_s: float | None, at: str) -> Happened:
    outcome, answer = entry.get("outcome", ""), entry.get("answer")
    said = answer.get("summary", "") if isinstance(answer, Mapping) else answer
    text = f"{entry.get('name', '')}: {said}" if said else str(entry.get("name", ""))
    if outcome != "ok":
        text = f"{text} ({outcome})"
    return Happened(
        t_s, at, "command", clip(text), clip(entry.get("comment") or ""), serious=outcome != "ok"
    )


def marks(rows: Iterable[Happened]) -> list[dict[str, Any]]:
    """The marks for the page's script."""
    return [
        {
            "t": row.t_s,
            "number": row.mark,
            "text": clip(f"{row.comment} ({row.text})" if row.comment else row.whole, MAX_LABEL),
            "serious": row.serious,
        }
        for row in rows
        if row.mark
    ]


class Stretches:
    """When a run was paused, and when nodes were late.

    Attributes:
        paused: From when to when.
        late: The same, by node.
        ends_s: Where the last point ends.
    """

    def __init__(self, points: Iterable[Point] = ()) -> None:
        """Those of `points`; more can be added."""
        self.paused: list[tuple[float, float]] = []
        self.late: dict[str, list[tuple[float, float]]] = {}
        self.ends_s = 0.0
        self._before: Point | None = None
        for point in points:
            self.add(point)

    def add(self, point: Point) -> None:
        """Add the next point."""
        before, self._before, self.ends_s = self._before, point, point.t_s
        if point.state == "paused":
            _extend(self.paused, point, before is not None and before.state == "paused")
        for node in late_nodes(point):
            goes_on = before is not None and node in late_nodes(before)
            _extend(self.late.setdefault(node, []), point, goes_on)


def _extend(stretches: list[tuple[float, float]], point: Point, goes_on: bool) -> None:
    if goes_on:
        stretches[-1] = (stretches[-1][0], point.t_s)
    else:
        stretches.append((point.begin_s, point.t_s))


def bands(stretches: Stretches, warmup_s: float) -> list[Band]:
    """What charts shade."""
    first = [Band("warmup", 0.0, warmup_s, "warm-up")] if warmup_s else []
    paused = [Band("paused", *stretch, "paused") for stretch in stretches.paused]
    return first + paused + late(stretches)


def late(stretches: Stretches) -> list[Band]:
    """When nodes were late."""
    return [
        Band("late", *stretch, f"{clip(node, 40)} sent nothing")
        for node, found in sorted(stretches.late.items())
        for stretch in found
    ]
