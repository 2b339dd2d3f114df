"""The charts of a run that goes on: rows are added at their end. Pure.

Each second costs what its rows cost, however long the run is: charts are made of the newest rows
only, and put behind what is there. When something is to be charted that was not, or when rows
become too many, all charts are made anew of the run's seconds (`LiveCharts.make`), as those of a
report are. That is a new edition; who has drawn an earlier one draws all of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from amoc.metrics.histogram import Histogram
from amoc.results.report.charted import Charted
from amoc.results.report.charts import Chart, Labels
from amoc.results.report.downsample import MAX_ROWS, Bucketer, coarse
from amoc.results.report.drawing import Drawing
from amoc.results.report.rows import Row
from amoc.results.series import Point
from amoc.results.summary_types import Timers


class LiveCharts:
    """Charts over time, and the rows that they are made of.

    Attributes:
        edition: How often all charts were made.
        drawing: The charts.
        times: Of the rows.
        final: How many of the rows, from the first, do not change any more.
        charted: What has charts.
        seconds: How many points there are.
        row_s: How long a row is at the most.
    """

    def __init__(self) -> None:
        self.edition = 0
        self.drawing = Drawing({}, ())
        self.times: list[float] = []
        self.final = 0
        self.charted = Charted()
        self.seconds = 0
        self.row_s = 0.0
        self._bucketer = Bucketer()
        self._before: list[Row] = []  # the last final row that is no gap, and the gaps behind it
        self._new: list[Row] = []
        self._keep: Labels = {}

    def make(
        self,
        points: Collection[Point],
        charted: Charted,
        durations: Mapping[str, Histogram],
        timers: Timers,
        yield_if_due: Callable[[], None] = lambda: None,
    ) -> None:
        """Make all charts anew.

        Args:
            points: All seconds of the run up to now.
            charted: What has charts.
            durations: As in `Drawing.of`.
            timers: The same.
            yield_if_due: Called between two points.
        """
        some, size = coarse(points)
        self.charted, self._bucketer, self.seconds = charted, Bucketer(size), len(points)
        rows: list[Row] = []
        for point in some:
            rows += [one.row(charted.durations) for one in self._bucketer.add(point)]
            yield_if_due()
        self.final, self._before, self._new = len(rows), _from_the_last(rows), []
        rows += self._unfinished()
        self.times = [row.t_s for row in rows]
        self.row_s = max((row.span_s for row in rows), default=0.0)
        self.drawing = Drawing.of(rows, charted, durations, timers)
        self._keep = self.drawing.labels
        self.edition += 1

    def add(self, point: Point) -> None:
        """Add the next second; `update` puts it into the charts."""
        self.seconds += 1
        self._new += [one.row(self.charted.durations) for one in self._bucketer.add(point)]

    @property
    def is_too_long(self) -> bool:
        """Whether there are so many rows that they are to be longer."""
        return self.final > 2 * MAX_ROWS

    def update(self, durations: Mapping[str, Histogram], timers: Timers) -> bool:
        """Put what was added into the charts; False if something needs a chart or a line."""
        rows = [*self._before, *self._new, *self._unfinished()]
        begin = len(self._before)
        tail = Drawing.of(rows, self.charted, durations, timers, self._keep)
        there = {chart.key: chart for chart in self.drawing.charts}
        fits = True
        for chart in tail.charts:
            fits = fits and chart.key in there and _has_all(there[chart.key], chart)
        newest = {chart.key: chart for chart in tail.all_charts}
        for chart in there.values():
            _extend(chart, self.final, newest.get(chart.key), begin, len(rows) - begin)
        self.times[self.final :] = [row.t_s for row in rows[begin:]]
        self.row_s = max([self.row_s, *(row.span_s for row in rows)])
        self.final += len(self._new)
        self._before, self._new = _from_the_last([*self._before, *self._new]), []
        self.drawing = self.drawing.with_timers(tail)
        return fits

    def since(self, row: int) -> dict[str, object]:
        """What has changed from a row on, for the page's script."""
        return {
            "from": row,
            "times": [round(one, 3) for one in self.times[row:]],
            "columns": {
                chart.key: [line.values[row:] for line in chart.lines]
                for chart in self.drawing.charts
            },
            "spectra": self.drawing.spectra(),
        }

    def _unfinished(self) -> list[Row]:
        return [one.row(self.charted.durations) for one in self._bucketer.unfinished]


def _from_the_last(rows: Sequence[Row]) -> list[Row]:
    """The last row that is no gap, which growth is measured from, and what follows."""
    last = next((at for at in reversed(range(len(rows))) if rows[at].seconds), 0)
    return [*rows[last:]]


def _has_all(there: Chart, chart: Chart) -> bool:
    """Whether all lines of `chart` that say something are there."""
    labels = {line.label for line in there.lines}
    return all(line.label in labels or not line.known for line in chart.lines)


def _extend(chart: Chart, final: int, newest: Chart | None, begin: int, rows: int) -> None:
    """Put the newest rows behind those that are final."""
    lines: dict[str, Sequence[float | None]] = {}
    if newest is not None:
        lines = {line.label: line.values[begin:] for line in newest.lines}
    for line in chart.lines:
        line.values[final:] = lines.get(line.label, [None] * rows)
