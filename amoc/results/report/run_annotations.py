"""Annotations of a run's charts: events as numbered lines and rows of a table, and bands. Pure.

An annotation is an event that may explain a change: a command, a lost worker, a note. It is a line
with a number in each chart over time, and a row with the same number in the table of events. A band
shades a period that must not be read like the rest: the warm-up, a pause, a late node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from amoc.base.json_plain import JsonObject
from amoc.base.text import natural
from amoc.results.report.downsample import late_nodes
from amoc.results.report.event_dedup import Deduplication, Repeated
from amoc.results.report.texts import clip, moment, times
from amoc.results.series import Point

MAX_NUMBERED = 200
MAX_ANNOTATIONS = 500
MAX_LABEL = 120
_SERIOUS = ("warning", "error")


@dataclass(frozen=True)
class Annotation:
    """A row of the table of events.

    Attributes:
        t_s: Its time since the first user could start; None before that.
        at: The same as a time of day, UTC.
        kind: Its kind.
        text: Its text.
        comment: The operator's comment.
        number: Its number in the charts; 0 if it is not shown there.
        serious: Whether it is a warning, an error or a refusal.
        count: How often it happened.
        last_s: When it happened last.
    """

    t_s: float | None
    at: str
    kind: str
    text: str
    comment: str = ""
    number: int = 0
    serious: bool = False
    count: int = 1
    last_s: float | None = None

    @property
    def text_with_count(self) -> str:
        """The text, and how often the event happened."""
        until = "" if self.last_s is None else f" until {moment(self.last_s)}"
        return f"{self.text} – {times(self.count)}{until}" if self.count > 1 else self.text


@dataclass(frozen=True)
class Band:
    """A period shaded in charts.

    Attributes:
        kind: ``warmup``, ``paused`` or ``late``.
        from_s: Its beginning, since the first user could start.
        to_s: Its end, on the same scale.
        label: Its label.
    """

    kind: str
    from_s: float
    to_s: float
    label: str


def collect(
    journal: Iterable[JsonObject], interruptions: Interruptions
) -> tuple[list[Annotation], int]:
    """Return the rows in order of time, and how many are left out.

    Args:
        journal: The entries of the run's journal.
        interruptions: The run's interruptions, for late nodes.
    """
    return of_events(Deduplication(journal).events, interruptions)


def of_events(
    events: Iterable[Repeated], interruptions: Interruptions
) -> tuple[list[Annotation], int]:
    """Return the rows in order of time, and how many are left out.

    Args:
        events: The events of the run's journal, without duplicates.
        interruptions: The run's interruptions, for late nodes.
    """
    rows = [
        replace(row, count=one.count, last_s=one.last_s)
        for one in events
        if (row := _row(one.entry)) is not None
    ]
    rows += [
        Annotation(
            band.from_s,
            "",
            "late node",
            f"{band.label} for {band.to_s - band.from_s:.3g} s",
            serious=True,
        )
        for band in late_bands(interruptions)
    ]
    rows.sort(key=lambda row: float("-inf") if row.t_s is None else row.t_s)
    kept, left_out = rows, max(0, len(rows) - MAX_ANNOTATIONS)
    if left_out:
        half = MAX_ANNOTATIONS // 2
        kept = rows[:half] + rows[-half:]
    return _numbered(kept), left_out


def _numbered(rows: Sequence[Annotation]) -> list[Annotation]:
    """Number those of the rows that charts show."""
    numbered, number = [], 0
    for row in rows:
        shown = row.t_s is not None and row.t_s >= 0 and (row.kind != "event" or row.serious)
        if shown and row.kind not in ("end", "late node") and number < MAX_NUMBERED:
            number += 1
            numbered.append(replace(row, number=number))
        else:
            numbered.append(row)
    return numbered


def _row(entry: JsonObject) -> Annotation | None:
    kind, t_s, at = entry.get("kind"), entry.get("t_s"), clip(entry.get("at", ""), 40)
    t_s = t_s if isinstance(t_s, int | float) else None
    if kind == "command":
        return _command(entry, t_s, at)
    if kind == "event" and entry.get("level") != "trace":
        serious = entry.get("level") in _SERIOUS
        return Annotation(t_s, at, "event", clip(entry.get("text", "")), serious=serious)
    if kind == "end":
        text = " – ".join(str(entry[key]) for key in ("verdict", "message") if entry.get(key))
        return Annotation(t_s, at, "end", clip(text))
    return None


def _command(entry: JsonObject, t_s: float | None, at: str) -> Annotation:
    outcome, answer = entry.get("outcome", ""), entry.get("answer")
    said = answer.get("summary", "") if isinstance(answer, Mapping) else answer
    text = f"{entry.get('name', '')}: {said}" if said else str(entry.get("name", ""))
    if outcome != "ok":
        text = f"{text} ({outcome})"
    return Annotation(
        t_s, at, "command", clip(text), clip(entry.get("comment") or ""), serious=outcome != "ok"
    )


def for_charts(rows: Iterable[Annotation]) -> list[dict[str, object]]:
    """Return the numbered annotations for the page's script."""
    return [
        {
            "t": row.t_s,
            "number": row.number,
            "text": clip(
                f"{row.comment} ({row.text})" if row.comment else row.text_with_count, MAX_LABEL
            ),
            "serious": row.serious,
        }
        for row in rows
        if row.number
    ]


class Interruptions:
    """The periods in which a run was paused, and in which nodes were late.

    Attributes:
        paused: Beginning and end of each period.
        late: The same, by node.
        ends_s: The end of the last point.
    """

    def __init__(self) -> None:
        self.paused: list[tuple[float, float]] = []
        self.late: dict[str, list[tuple[float, float]]] = {}
        self.ends_s = 0.0
        self._before: Point | None = None

    def add(self, point: Point) -> None:
        """Add the next point."""
        before, self._before, self.ends_s = self._before, point, point.t_s
        if point.state == "paused":
            _extend(self.paused, point, before is not None and before.state == "paused")
        for node in late_nodes(point):
            goes_on = before is not None and node in late_nodes(before)
            _extend(self.late.setdefault(node, []), point, goes_on)


def _extend(periods: list[tuple[float, float]], point: Point, goes_on: bool) -> None:
    if goes_on:
        periods[-1] = (periods[-1][0], point.t_s)
    else:
        periods.append((point.begin_s, point.t_s))


def bands(interruptions: Interruptions, warmup_s: float) -> list[Band]:
    """Return the periods shaded in charts."""
    first = [Band("warmup", 0.0, warmup_s, "warm-up")] if warmup_s else []
    paused = [Band("paused", *period, "paused") for period in interruptions.paused]
    return first + paused + late_bands(interruptions)


def late_bands(interruptions: Interruptions) -> list[Band]:
    """Return the periods in which nodes were late."""
    return [
        Band("late", *period, f"{clip(node, 40)} sent no samples")
        for node in sorted(interruptions.late, key=natural)
        for period in interruptions.late[node]
    ]
