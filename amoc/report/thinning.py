"""A run's points as the rows that its charts are drawn from: fewer, and honest about gaps. Pure.

A chart shows no more moments than it is wide, so neighbouring points are put together until there
are few enough. They are put together as what they are: sums of counts over sums of time, histograms
merged, the highest of what is looked at for its peaks. So a percentile of a row is one of its
durations, never a mean of percentiles.

Nothing is put together across a pause or a hole in the series. A row without points is a hole, and
charts leave it white. What a late node had counted comes with its next sample: the seconds in which
it is late are holes, too, and their points are counted to the row that follows. A node that stays
away for more than `MOST_LATE` points is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from amoc.series import Point

MOST_ROWS = 1_500
MOST_LATE = 10
HOLE_S = 1.5
"""What lies between two points and is longer than this is a hole."""
LEAST_S = 0.5
"""A shorter row, as at the end of a run, says little about a second: the one before gets it."""
FLOWING = frozenset({"running", "stopping"})
"""States of a run in which its users act."""


@dataclass(frozen=True)
class Row:
    """What charts show at one moment.

    Attributes:
        t_s: Where it stands on the axis of time.
        points: What is put together in it, in order; none in a hole.
        flowing: Whether users could act; if not, that nothing was counted says nothing.
    """

    t_s: float
    points: tuple[Point, ...] = ()
    flowing: bool = False

    @property
    def span_s(self) -> float:
        """How long its points were together."""
        return sum(point.span_s for point in self.points)


def thin(points: Sequence[Point], most: int = MOST_ROWS) -> list[Row]:
    """The rows of a run, in order.

    Args:
        points: Its seconds.
        most: How many rows there are to be, apart from those that pauses and holes need.
    """
    size = ceil(len(points) / most)
    rows: list[Row] = []
    for row in _seconds(points):
        last = rows[-1] if rows else None
        if (
            last is not None
            and last.points
            and row.points
            and last.flowing == row.flowing
            and (len(last.points) + len(row.points) <= size or row.span_s < LEAST_S)
        ):
            rows[-1] = Row(row.t_s, last.points + row.points, row.flowing)
        else:
            rows.append(row)
    return rows


def late_nodes(point: Point) -> Sequence[str]:
    """The nodes that were late in a second; who has left before the short last one is not."""
    return point.late if point.span_s >= LEAST_S else ()


def _seconds(points: Sequence[Point]) -> Iterator[Row]:
    """A row for each point, with holes where something is missing."""
    carried: list[Point] = []
    late, last_s = 0, 0.0
    for point in points:
        if point.begin_s - last_s > HOLE_S:
            yield Row(point.begin_s)
        last_s = point.t_s
        late = late + 1 if late_nodes(point) else 0
        if 0 < late <= MOST_LATE:
            carried.append(point)
            yield Row(point.t_s)
        else:
            yield Row(point.t_s, (*carried, point), point.state in FLOWING)
            carried.clear()
