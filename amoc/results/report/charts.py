"""Charts as data: lines, units, and the same in words. Pure.

`report.js` draws what `Chart.to_json` returns. All charts over time share one axis, the rows of
`amoc.results.report.downsample`, so a given time is at the same place in each of them. Each chart
is also a small table, for readers who cannot see it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from amoc.results.report.columns import Column
from amoc.results.report.texts import clip, figure, moment

MAX_LABEL = 48
GREY = 0
"""The colour of a line that takes none from the palette."""
COLOURS = 8
Labels: TypeAlias = Mapping[str, Collection[str]]
"""The `Line.name` of lines, by chart."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: Its label in the legend.
        values: One value for each row; None is a gap.
        colour: Its index in the palette, from 1; or `GREY`.
        style: ``line``, ``area`` (filled below), ``dash``, ``dots``, or ``step`` for settings.
    """

    label: str
    values: Column
    colour: int = 1
    style: str = "line"

    @property
    def name(self) -> str:
        """The name that identifies the line within its chart in the page."""
        return clip(self.label, MAX_LABEL)

    @property
    def known(self) -> list[float]:
        """The values without gaps."""
        return [value for value in self.values if value is not None]


@dataclass(frozen=True)
class Chart:
    """A chart over time.

    Attributes:
        key: Its id in the page.
        title: Its title.
        unit: ``s``, ``/s``, ``%`` (of 1), ``B``, or empty for a plain number.
        lines: Its lines, topmost last.
        note: A sentence on how to read it.
        family: Charts of a family have the same range, so that they can be compared visually.
        least_top: The least upper end of its range.
        limits: Its limits by line label; an empty label stands for all lines without a limit of
            their own.
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
        """The limits in words, because they may be outside the range."""
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
        """Whether only zeros would be drawn."""
        return not any(value for line in self.lines for value in line.values)

    def to_json(self) -> dict[str, object]:
        """Return the chart for the page's script."""
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
        """Return a row for each line: label, minimum, mean, maximum, and the time of the maximum.

        Args:
            times: The times of the rows; None if the page's script fills in the table.
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
    """The distribution of durations: percentiles from the median on, by rarity.

    Attributes:
        key: Its id in the page.
        title: Its title.
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
        """Return the chart for the page's script."""
        fractions = sorted({fraction for line in self.lines.values() for fraction, _ in line})
        return {
            "title": clip(self.title, MAX_LABEL),
            "fractions": fractions,
            "lines": [
                {
                    "label": label,
                    "colour": 1 if number == 0 else 2,
                    "values": [dict(line).get(fraction) for fraction in fractions],
                }
                for number, (label, line) in enumerate(self.lines.items())
            ],
        }


@dataclass(frozen=True)
class Group:
    """Charts of one subject: those visible at first, those that can be opened, those left out.

    Attributes:
        key: Its id in the page.
        title: Their subject.
        shown: The charts visible at first.
        more: The charts that can be opened.
        more_title: The heading of the latter.
        left_out: A sentence on what is not charted at all.
    """

    key: str
    title: str
    shown: Sequence[Chart] = ()
    more: Sequence[Chart] = ()
    more_title: str = ""
    left_out: str = ""
