"""Downsamples a run's points to the rows that its charts are drawn from, and keeps gaps. Pure.

A chart shows no more points in time than it is wide, so neighbouring points are merged until there
are few enough, each kind of value in its own way: counts and times are added, histograms merged, of
what is looked at for its peaks the highest is kept. So a percentile of a row is one of its samples,
never a mean of percentiles.

Nothing is merged across a pause or a gap in the series. A row without points is a gap, and charts
leave it white. What a late node had counted comes with its next sample: the seconds in which
it is late are gaps, too, and their points are counted to the row that follows, or to the last one
where none does. A node that stays away for more than `MAX_LATE` points is not waited for.

Points are read once, in order, and let go when their row is finished; so a long run takes no more
memory than its rows do.
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
"""Points of a row from which on it is made of stretches: of a run of four hours."""
STRETCH = 61
"""Points in a stretch, at the most, where seconds are about one second long."""
GAP_S = 1.5
"""What lies between two points and is longer than this is a gap."""
MIN_S = 0.5
"""A shorter row, as at the end of a run, says little about a second: the one before gets it."""
ACTIVE_STATES = frozenset({"running", "stopping"})
"""States of a run in which its users act."""


@dataclass(frozen=True)
class Bucket:
    """Neighbouring points that become a row.

    Attributes:
        t_s: Where they stand on the time axis.
        points: In order; none in a gap.
        active: Whether users could act; if not, that nothing was counted says nothing.
    """

    t_s: float
    points: tuple[Point, ...] = ()
    active: bool = False

    def joined(self, later: Bucket) -> Bucket:
        """This one with the next one."""
        return Bucket(later.t_s, self.points + later.points, later.active)

    def row(self, timers: Collection[str] = ()) -> Row:
        """Its row; `timers` are those that it is to have durations of."""
        return row_of(self.t_s, self.points, self.active, timers)


def downsample(
    points: Collection[Point],
    max_rows: int = MAX_ROWS,
    timers: Collection[str] = (),
    see: Callable[[Point], object] = lambda _: None,
    fine: Fine = lambda _: False,
) -> list[Row]:
    """The rows of a run, in order.

    Args:
        points: Its seconds.
        max_rows: The most rows, apart from those that pauses and gaps need.
        timers: Those that rows are to have durations of.
        see: Is shown each point on its way, so that nobody else needs to read them all.
        fine: Whether, of a long run too, the seconds of a stretch are to be shown one by one.
    """
    some, size = coarse(points, max_rows, fine)

    def seen() -> Iterator[Point]:
        for point in some:
            see(point)
            yield point

    return [one.row(timers) for one in buckets(seen(), size)]


def coarse(
    points: Collection[Point], max_rows: int = MAX_ROWS, fine: Fine = lambda _: False
) -> tuple[Iterable[Point], int]:
    """What rows are made of, and how many seconds a row has at the most, see `downsample`."""
    size = max(1, ceil(len(points) / max_rows))
    if size < COARSE or not has_stretches(points):
        return points, size
    return stretches(points, fine), STRETCH * ceil(size / STRETCH)


def buckets(points: Iterable[Point], size: int) -> Iterator[Bucket]:
    """The points in groups of at most `size`, in order, and gaps where something is missing."""
    bucketer = Bucketer(size)
    for point in points:
        yield from bucketer.add(point)
    yield from bucketer.unfinished


class Bucketer:
    """Puts points into buckets as they come, see `buckets`."""

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._last: Bucket | None = None  # may be merged with what comes
        self._carried: list[Point] = []  # until the node is back that is late
        self._late, self._last_s = 0, 0.0

    def add(self, point: Point) -> list[Bucket]:
        """Add the next point; the buckets that will not change any more."""
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
        """What else there is if no more points come; at most two buckets."""
        last = [] if self._last is None else [self._last]
        if not self._carried:
            return last
        points = tuple(self._carried)  # the series ends before the late node has come back
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
    """Whether two neighbours may be merged."""
    if not (last.points and one.points and last.active == one.active):
        return False
    span_s = sum(point.span_s for point in one.points)
    return sum(map(seconds_of, last.points + one.points)) <= size or span_s < MIN_S


def late_nodes(point: Point) -> Sequence[str]:
    """The nodes that were late in a second; who has left before the short last one is not."""
    return point.late if point.span_s >= MIN_S else ()
