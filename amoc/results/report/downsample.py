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
    size = ceil(len(points) / max_rows)
    if size < COARSE or not has_stretches(points):
        some: Iterable[Point] = points
    else:
        some = stretches(points, fine)
        size = STRETCH * ceil(size / STRETCH)

    def seen() -> Iterator[Point]:
        for point in some:
            see(point)
            yield point

    return [row_of(one.t_s, one.points, one.active, timers) for one in buckets(seen(), size)]


def buckets(points: Iterable[Point], size: int) -> Iterator[Bucket]:
    """The points in groups of at most `size`, in order, and gaps where something is missing."""
    last: Bucket | None = None
    for one in _seconds(points):
        if last is None:
            last = one
        elif _can_merge(last, one, size):
            last = Bucket(one.t_s, last.points + one.points, one.active)
        else:
            yield last
            last = one
    if last is not None:
        yield last


def _can_merge(last: Bucket, one: Bucket, size: int) -> bool:
    """Whether two neighbours may be merged."""
    if not (last.points and one.points and last.active == one.active):
        return False
    span_s = sum(point.span_s for point in one.points)
    return sum(map(seconds_of, last.points + one.points)) <= size or span_s < MIN_S


def late_nodes(point: Point) -> Sequence[str]:
    """The nodes that were late in a second; who has left before the short last one is not."""
    return point.late if point.span_s >= MIN_S else ()


def _seconds(points: Iterable[Point]) -> Iterator[Bucket]:
    """A group for each point, with gaps where something is missing."""
    carried: list[Point] = []
    late, last_s = 0, 0.0
    for point in points:
        if carried:
            yield Bucket(last_s)
        if point.begin_s - last_s > GAP_S:
            yield Bucket(point.begin_s)
        last_s = point.t_s
        late = late + 1 if late_nodes(point) else 0
        carried.append(point)
        if not 0 < late <= MAX_LATE:
            yield Bucket(last_s, tuple(carried), point.state in ACTIVE_STATES)
            carried.clear()
    if carried:  # the series ends before the late node has come back
        yield Bucket(last_s, tuple(carried), carried[-1].state in ACTIVE_STATES)
