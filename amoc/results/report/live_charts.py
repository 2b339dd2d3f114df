"""The charts of a running run: rows are appended to them. Pure.

The cost of a second is that of its rows, however long the run is: charts are made from the newest
rows only and appended to those that exist. When another metric needs a chart, or there are too many
rows, all charts are made again from the run's seconds (`LiveCharts.make`), as in a report. That is
a new edition; a client that has drawn an earlier one draws everything again.
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
    """Charts over time, and the rows that they are made from.

    Attributes:
        edition: How often all charts were made.
        drawing: The charts.
        times: The times of the rows.
        final: The number of rows, from the first, that do not change any more.
        charted: The metrics that have charts.
        row_s: The length of the longest row.
    """

    def __init__(self) -> None:
        self.edition = 0
        self.drawing = Drawing({}, ())
        self.times: list[float] = []
        self.final = 0
        self.charted = Charted()
        self.row_s = 0.0
        self._bucketer = Bucketer()
        self._before: list[Row] = []  # the last final row that is not a gap, and the gaps after it
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
        """Make all charts again.

        Args:
            points: All seconds of the run so far.
            charted: The metrics that have charts.
            durations: As in `Drawing.of`.
            timers: As in `Drawing.of`.
            yield_if_due: Called between two points.
        """
        some, size = coarse(points)
        self.charted, self._bucketer = charted, Bucketer(size)
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
        """Add the next second; `update` adds it to the charts."""
        self._new += [one.row(self.charted.durations) for one in self._bucketer.add(point)]

    @property
    def is_too_long(self) -> bool:
        """Whether there are so many rows that they need to be merged into longer ones."""
        return self.final > 2 * MAX_ROWS

    def update(self, durations: Mapping[str, Histogram], timers: Timers) -> bool:
        """Add the new seconds to the charts; return False if a chart or a line is missing."""
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
        """Return the changes from a row on, for the page's script."""
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
    """Return the last row that is not a gap, the base for growth, and all that follow."""
    last = next((at for at in reversed(range(len(rows))) if rows[at].seconds), 0)
    return [*rows[last:]]


def _has_all(there: Chart, chart: Chart) -> bool:
    """Return whether all lines of `chart` that have values exist."""
    labels = {line.label for line in there.lines}
    return all(line.label in labels or not line.known for line in chart.lines)


def _extend(chart: Chart, final: int, newest: Chart | None, begin: int, rows: int) -> None:
    """Append the newest rows to the final ones."""
    lines: dict[str, Sequence[float | None]] = {}
    if newest is not None:
        lines = {line.label: line.values[begin:] for line in newest.lines}
    for line in chart.lines:
        line.values[final:] = lines.get(line.label, [None] * rows)
