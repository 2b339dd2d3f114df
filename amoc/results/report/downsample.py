"""Downsamples a run's points to the rows of its charts, and keeps gaps. Pure.

A chart shows no more points in time than it has pixels, so neighbouring points are merged until
there are few enough. Counts and times are added, histograms are merged, and levels whose peaks
matter keep their maximum. So a percentile of a row is one of its samples, never a mean of
percentiles.

Nothing is merged across a pause or a gap in the series. A row without points is a gap, which charts
leave blank. What a late node has counted comes with its next sample: the seconds in which it is
late are gaps as well, and their points are added to the row that follows, or to the last one if
none does. A node that is late for more than `MAX_LATE` points is not waited for.

Points are read once, in order, and released when their row is complete, so a long run takes no more
memory than its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from amoc.results.report.rows import Row, row_of
from amoc.results.series import Point
from amoc.results.store.reader import Fine, has_stretches, stretches
from amoc.results.stretch import seconds_of

MAX_ROWS = 1_500
MAX_LATE = 10
COARSE = 10
"""Points per row from which on rows are made of stretches: runs of four hours and more."""
STRETCH = 61
"""Maximum number of points in a stretch, if seconds are about one second long."""
GAP_S = 1.5
"""A longer distance between two points is a gap."""
MIN_S = 0.5
"""A shorter row, as at the end of a run, is too short for rates and joins the one before."""
ACTIVE_STATES = frozenset({"running", "stopping"})
"""States of a run in which its users are active."""


@dataclass(frozen=True)
class Bucket:
    """Neighbouring points that become a row.

    Attributes:
        t_s: Their place on the time axis.
        points: In order; none in a gap.
        active: Whether users could act; if not, zero counts mean nothing.
    """

    t_s: float
    points: tuple[Point, ...] = ()
    active: bool = False

    def joined(self, later: Bucket) -> Bucket:
        """Return this bucket with the next one added."""
        return Bucket(later.t_s, self.points + later.points, later.active)

    def row(self, timers: Collection[str] = ()) -> Row:
        """Return its row, with the durations of `timers`."""
        return row_of(self.t_s, self.points, self.active, timers)


def downsample(
    points: Collection[Point],
    max_rows: int = MAX_ROWS,
    timers: Collection[str] = (),
    on_point: Callable[[Point], object] = lambda _: None,
    fine: Fine = lambda _: False,
) -> list[Row]:
    """Return the rows of a run, in order.

    Args:
        points: Its seconds.
        max_rows: The most rows, apart from those needed for pauses and gaps.
        timers: The timers whose durations rows include.
        on_point: Called with each point, so that the caller need not read them all again.
        fine: Whether a stretch must be split into seconds, even in a long run.
    """
    some, size = coarse(points, max_rows, fine)

    def seen() -> Iterator[Point]:
        for point in some:
            on_point(point)
            yield point

    return [one.row(timers) for one in buckets(seen(), size)]


def coarse(
    points: Collection[Point], max_rows: int = MAX_ROWS, fine: Fine = lambda _: False
) -> tuple[Iterable[Point], int]:
    """Return the points for rows, and the most seconds in a row, see `downsample`."""
    size = max(1, ceil(len(points) / max_rows))
    if size < COARSE or not has_stretches(points):
        return points, size
    return stretches(points, fine), STRETCH * ceil(size / STRETCH)


def buckets(points: Iterable[Point], size: int) -> Iterator[Bucket]:
    """Group the points by at most `size`, in order, with gaps where something is missing."""
    bucketer = Bucketer(size)
    for point in points:
        yield from bucketer.add(point)
    yield from bucketer.unfinished


class Bucketer:
    """Puts points into buckets as they come, see `buckets`."""

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._last: Bucket | None = None  # may be merged with the next one
        self._carried: list[Point] = []  # until the late node is back
        self._late, self._last_s = 0, 0.0

    def add(self, point: Point) -> list[Bucket]:
        """Add the next point; return the buckets that will not change any more."""
        finished: list[Bucket] = []
        if self._carried:
            finished += self._merge(Bucket(self._last_s))
        if point.begin_s - self._last_s > GAP_S:
            finished += self._merge(Bucket(point.begin_s))
        self._last_s = point.t_s
        self._late = self._late + 1 if late_nodes(point) else 0
        self._carried.append(point)
        if not 0 < self._late <= MAX_LATE:
            one = Bucket(point.t_s, tuple(self._carried), point.state in ACTIVE_STATES)
            self._carried.clear()
            finished += self._merge(one)
        return finished

    @property
    def unfinished(self) -> list[Bucket]:
        """The remaining buckets if no more points come; at most two."""
        last = [] if self._last is None else [self._last]
        if not self._carried:
            return last
        points = tuple(self._carried)  # the series ends before the late node is back
        rest = Bucket(self._last_s, points, points[-1].state in ACTIVE_STATES)
        if last and _can_merge(last[0], rest, self._size):
            return [last[0].joined(rest)]
        return [*last, rest]

    def _merge(self, one: Bucket) -> list[Bucket]:
        last, self._last = self._last, one
        if last is None:
            return []
        if _can_merge(last, one, self._size):
            self._last = last.joined(one)
            return []
        return [last]


def _can_merge(last: Bucket, one: Bucket, size: int) -> bool:
    """Return whether two neighbours may be merged."""
    if not (last.points and one.points and last.active == one.active):
        return False
    span_s = sum(point.span_s for point in one.points)
    return sum(map(seconds_of, last.points + one.points)) <= size or span_s < MIN_S


def late_nodes(point: Point) -> Sequence[str]:
    """Return the nodes late in a second. In the short last one, nodes may have left: none is."""
    return point.late if point.span_s >= MIN_S else ()
