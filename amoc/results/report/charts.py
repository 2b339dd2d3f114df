"""Charts as data: what is drawn, in which unit, and what it says in words. Pure.

`Chart.to_json` is what `report.js` draws. All charts over time share one axis, the rows of
`amoc.results.report.downsample`, so a value is at the same place in each of them. What a chart says
is also a small table, for people who do not see it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from amoc.results.report.columns import Column
from amoc.results.report.texts import clip, figure, moment

MAX_LABEL = 48
GREY = 0
"""A line's colour that is none of the palette's."""
COLOURS = 8
Labels: TypeAlias = Mapping[str, Collection[str]]
"""Lines of charts by their `Line.name`, by chart."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: What its legend says.
        values: One for each row; None is a gap.
        colour: Which of the palette, from 1; `GREY`.
        style: ``line``, ``area`` (filled below), ``dash``, ``dots``, or ``step`` for what is set.
    """

    label: str
    values: Column
    colour: int = 1
    style: str = "line"

    @property
    def name(self) -> str:
        """What tells the line from others of its chart in the page."""
        return clip(self.label, MAX_LABEL)

    @property
    def known(self) -> list[float]:
        """The values that are there."""
        return [value for value in self.values if value is not None]


@dataclass(frozen=True)
class Chart:
    """A chart over time.

    Attributes:
        key: What the page calls it.
        title: What it shows.
        unit: ``s``, ``/s``, ``%`` (of 1), ``B``, or nothing for a number.
        lines: What is drawn, the last one on top.
        note: A sentence on how to read it.
        family: Charts of one family have one range, so that they can be compared by looking.
        least_top: The top of the range is at least this.
        limits: What is too much, by whose limit that is: nothing for that of all lines which have
            none of their own.
    """

    key: str
    title: str
    unit: str
    lines: Sequence[Line]
    note: str = ""
    family: str = ""
    least_top: float = 0.0
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def limits_text(self) -> str:
        """The limits in words, for they may lie beyond the range."""
        said = [
            f"{f'for the {of} ' if of else ''}{figure(limit, self.unit)}"
            for of, limit in self.limits.items()
        ]
        return f"Limit {', '.join(said)}." if said else ""

    @property
    def empty(self) -> bool:
        """Whether nothing would be drawn."""
        return all(value is None for line in self.lines for value in line.values)

    @property
    def idle(self) -> bool:
        """Whether nothing but zeros would be drawn."""
        return not any(value for line in self.lines for value in line.values)

    def to_json(self) -> dict[str, object]:
        """The chart for the page's script."""
        return {
            "title": clip(self.title, MAX_LABEL),
            "unit": self.unit,
            "family": self.family,
            "least_top": self.least_top,
            "limits": [
                {"label": f"limit of the {of}" if of else "limit", "value": limit}
                for of, limit in self.limits.items()
            ],
            "lines": [{**vars(line), "label": line.name} for line in self.lines],
        }

    def words(self, times: Sequence[float] | None) -> list[tuple[str, str, str, str, str]]:
        """For each line: its label, the least, the mean and the highest of what is drawn, when.

        Args:
            times: Of the rows; None if the page's script says it, then there are no words.
        """
        if times is None:
            return []
        said = []
        for line in self.lines:
            known = line.known
            if known:
                highest = max(known)
                when = moment(times[line.values.index(highest)])
                low, mean, high = (
                    figure(one, self.unit) for one in (min(known), sum(known) / len(known), highest)
                )
                said.append((line.name, low, mean, high, when))
        return said


@dataclass(frozen=True)
class Spectrum:
    """How durations are distributed: percentiles from the median on, by how rare they are.

    Attributes:
        key: What the page calls it.
        title: What it shows.
        lines: By label: percentile (0 to 1) and seconds.
    """

    key: str
    title: str
    lines: dict[str, list[tuple[float, float]]]
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing would be drawn."""
        return not any(self.lines.values())

    def to_json(self) -> dict[str, object]:
        """The chart for the page's script."""
        fractions = sorted({fraction for line in self.lines.values() for fraction, _ in line})
        return {
            "title": clip(self.title, MAX_LABEL),
            "fractions": fractions,
            "lines": [
                {
                    "label": label,
                    "colour": number + 1 if number == 0 else 2,
                    "values": [dict(line).get(fraction) for fraction in fractions],
                }
                for number, (label, line) in enumerate(self.lines.items())
            ],
        }


@dataclass(frozen=True)
class Group:
    """Charts of one matter: those to be seen at once, those that can be opened, those left out.

    Attributes:
        key: What the page calls it.
        title: What they are about.
        shown: To be seen at once.
        more: Can be opened.
        more_title: What the latter are.
        left_out: A sentence on what is not charted at all.
    """

    key: str
    title: str
    shown: Sequence[Chart] = ()
    more: Sequence[Chart] = ()
    more_title: str = ""
    left_out: str = ""
