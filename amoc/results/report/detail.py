"""The single seconds of a part of a long run, for charts that a reader zooms into. Pure.

They belong to charts that have been drawn, and have the same lines: `Shown` describes those, and is
kept by whoever made the page.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from amoc.base.json_plain import JsonObject
from amoc.results.report.charted import Charted
from amoc.results.report.charts import Labels
from amoc.results.report.downsample import MAX_ROWS, downsample
from amoc.results.report.drawing import charts_of
from amoc.results.series import Point
from amoc.results.store.reader import between

MAX_S = 7_200.0
"""The longest part: its rows cover five seconds each."""


@dataclass(frozen=True)
class Shown:
    """The contents of a page's charts.

    Attributes:
        charted: The metrics.
        labels: The lines.
    """

    charted: Charted
    labels: Labels

    def to_json(self) -> JsonObject:
        """Return the contents as JSON."""
        return {
            "charted": self.charted.to_json(),
            "labels": {key: [*some] for key, some in self.labels.items()},
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Shown:
        """Return what `to_json` made `data` of."""
        return cls(Charted.from_json(data["charted"]), data["labels"])


def columns(
    points: Collection[Point], from_s: float, to_s: float, shown: Shown
) -> dict[str, object]:
    """Return the rows of a part of a run, each a second if it is short enough, for the script.

    Args:
        points: The seconds of the run.
        from_s: The beginning of the part, since the first user could start.
        to_s: Its end.
        shown: The contents of the charts.
    """
    # Growth is measured from the previous row, so one more is read.
    size = int(max(0.0, to_s - from_s) // MAX_ROWS) + 1
    back_s = float(size)
    some = between(points, from_s - back_s, to_s)
    while back_s < from_s and not any(one.t_s <= from_s for one in some):
        back_s *= 2  # seconds are missing there
        some = between(points, from_s - back_s, to_s)
    rows = downsample(some, timers=shown.charted.durations)
    first = next((at for at, row in enumerate(rows) if row.t_s > from_s), len(rows))
    made = charts_of(rows, shown.charted, shown.labels)
    return {
        "times": [round(row.t_s, 3) for row in rows[first:]],
        "row_s": round(max((row.span_s for row in rows[first:]), default=0.0), 3),
        "columns": {
            chart.key: {line.name: line.values[first:] for line in chart.lines} for chart in made
        },
    }
