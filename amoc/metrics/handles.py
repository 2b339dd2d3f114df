"""Counters, gauges and timers: they record into memory and send nothing.

Recording a value changes a cell in the worker's area of the board (`amoc.metrics.area`), which
takes 0.1 to 0.5 µs; the node reads the board once a second. `amoc.metrics.registry` creates them.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Final

from amoc.base.context import GONE
from amoc.base.text import cut
from amoc.metrics import stopwatch
from amoc.metrics.area import MAX_COUNT, Area, Cells, Kind, Merge
from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.histogram import CELLS, LAST_CELL, ROW, ROWS, cell_of
from amoc.metrics.stopwatch import Stopwatch, ThrottledStopwatch
from amoc.metrics.throttle_counts import COUNTS, Count
from amoc.metrics.timer_cells import HIT

if TYPE_CHECKING:
    from amoc.metrics.registry import Registry

MAX_S = 2**64 / 1e9
_ONE: Final = 1


class Handle:
    """A metric's name and the cells it writes to in this process."""

    __slots__ = ("_cells", "merge", "name")
    kind: Kind
    _cells: Cells

    def __init__(self, name: str, merge: Merge, registry: Registry) -> None:
        self.name = name
        self.merge = merge
        self.bind(registry.area)

    def bind(self, area: Area, *, inherit: bool = False) -> None:
        """Write to the cells of `area` from now on.

        Args:
            area: The worker's own area.
            inherit: Whether to add what was counted in the previous cells.
        """
        before = self._cells if inherit else None
        self._cells = area.declare(self.kind, self.name, self.merge)
        if before is not None:
            self._count_on(before)

    def _count_on(self, before: Cells) -> None:
        """Add the counts of other cells of the same kind; for a gauge there is nothing to add."""

    def unbind(self, gone: Cells) -> None:
        """Replace the cells, which belong to another worker, by `gone`, which raises when used."""
        self._cells = gone

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _refusal(self, rule: str, value: object, error: Exception) -> Exception:
        """Return the error to raise because of `value`, which caused `error`."""
        kind = TypeError if isinstance(error, TypeError | AttributeError) else ValueError
        return kind(f"{type(self).__name__.lower()} {self.name} must {rule}, got {cut(value)}")


class Counter(Handle):
    """Counts events; never goes down. Shown as a total and as a rate."""

    __slots__ = ("_area", "_count")
    kind = Kind.COUNTER

    def bind(self, area: Area, *, inherit: bool = False) -> None:
        """Write to the cells of `area` from now on, see `Handle.bind`."""
        super().bind(area, inherit=inherit)
        self._area = area
        # No other process writes to the cell, and reading it takes as long as writing to it.
        self._count = int(self._cells[0])

    def unbind(self, gone: Cells) -> None:
        """Release the cells of another worker, see `Handle.unbind`."""
        super().unbind(gone)
        self._area = GONE

    @property
    def value(self) -> int:
        """The count of this worker, including its earlier incarnations."""
        return self._area.count(self.name)

    def inc(self, n: int = 1) -> None:
        """Count `n` more events. A counter stops at 2**64 - 1, which its node reports.

        Raises:
            TypeError: `n` is not an integer.
            ValueError: `n` is negative, or 2**64 or more.
        """
        # Other integers are checked because NumPy's wrap around; the usual 1 skips the check.
        if n is not _ONE and (type(n) is not int or n < 0):
            n = self._whole(n)
        try:
            self._cells[0] = self._count = self._count + n
        except ValueError:  # a cell has 64 bits
            self._whole(n)
            self._cells[0] = self._count = MAX_COUNT

    def _whole(self, n: int) -> int:
        try:
            if not 0 <= (whole := index(n)) <= MAX_COUNT:
                raise ValueError
        except (TypeError, ValueError) as error:
            rule = "be incremented by a whole number of 0 or more, below 2**64"
            raise self._refusal(rule, n, error) from None
        return whole

    def _count_on(self, before: Cells) -> None:
        self._cells[0] += before[0]


class Gauge(Handle):
    """A value that goes up and down; those of several workers are merged by its rule."""

    __slots__ = ()
    kind = Kind.GAUGE

    def set(self, value: float) -> None:
        """Set this worker's value.

        Raises:
            TypeError: It is not a number.
            ValueError: It is not finite.
        """
        try:
            if value - value:  # that of an infinity or of NaN is NaN
                raise ValueError
            self._cells[0] = value
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refusal("be set to a finite number", value, error) from None

    def inc(self, n: float = 1) -> None:
        """Increase this worker's value by `n`; it starts at 0.

        Raises:
            TypeError: `n` is not a number.
            ValueError: `n` or the new value is not finite.
        """
        self._add(1, n)

    def dec(self, n: float = 1) -> None:
        """Decrease this worker's value by `n`; raises the same errors as `inc`."""
        self._add(-1, n)

    def _add(self, sign: int, n: float) -> None:
        now = self._cells[0]
        try:
            value = sign * n if now != now else now + sign * n  # one that was never set is NaN
            if value - value:
                raise ValueError
            self._cells[0] = value
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refusal("be changed by, and remain, a finite number", n, error) from None


class Timer(Handle):
    """Durations from 1 ns to over an hour, kept as a histogram with less than 0.4 % error."""

    __slots__ = ("_max_ns", "_registry", "_response")
    kind = Kind.TIMER

    def __init__(self, name: str, merge: Merge, registry: Registry) -> None:
        super().__init__(name, merge, registry)
        self._registry = registry
        self._response: Timer | None = None

    def bind(self, area: Area, *, inherit: bool = False) -> None:
        """Write to the cells of `area` from now on, see `Handle.bind`."""
        super().bind(area, inherit=inherit)
        self._max_ns = self._cells[CELLS]  # cached, as a counter's count is

    def record(self, seconds: float) -> None:
        """Record a duration in seconds.

        Raises:
            TypeError: It is not a number.
            ValueError: It is negative, not finite, or longer than centuries.
        """
        try:
            ns = round(seconds * 1e9)
            if ns < 0:
                raise ValueError
            self.record_ns(ns)
        except (TypeError, ValueError, OverflowError) as error:  # a cell has 64 bits
            rule = f"record a number of seconds from 0 to {MAX_S:.2g}"
            raise self._refusal(rule, seconds, error) from None

    def record_ns(self, ns: int) -> None:
        """Record a duration in nanoseconds, an int below 2**64.

        A negative one, from the difference of two clocks, counts as 0.

        Raises:
            TypeError: It is not an int.
            ValueError: It is 2**64 or more.
        """
        # timer_cells.record inlined: this is called for every message of every user.
        cells = self._cells
        try:
            if ns < 0:
                ns = 0
            shift = ns.bit_length() - 8
            cell = ns if shift < 0 else (shift << 7) + (ns >> shift)
            # The maximum first: a reader in between must not find a duration above it.
            if ns > self._max_ns:
                # Meanwhile the node may have recorded how long the previous worker was silent.
                cells[CELLS] = self._max_ns = max(ns, cells[CELLS])
        except (AttributeError, TypeError, ValueError) as error:
            rule = "record an int of nanoseconds below 2**64"
            raise self._refusal(rule, ns, error) from None
        if cell > LAST_CELL:
            cell = LAST_CELL
        count = cells[cell]
        if not count:
            cells[HIT + (cell >> 7)] = 1  # before the cell, because readers skip rows not hit
        cells[cell] = count + 1

    def record_times(self, ns: int, times: int) -> None:
        """Record the same duration in nanoseconds several times, at least once."""
        self.record_ns(ns)
        self._cells[cell_of(ns)] += times - 1

    def time(self) -> Stopwatch:
        """Return a context manager that records how long its block took.

        A block that raises is recorded as well: leaving out failures would flatter the target. Only
        a user that is killed inside the block records nothing here. Time in which a pause of the
        run held up the user inside the block does not count.

        After the caller has passed a throttle, the first such block and those nested in it also
        record the time since the throttle's slot, in a timer of the same name with ``.response``.
        """
        return ThrottledStopwatch(self) if stopwatch.throttled else Stopwatch(self)

    @property
    def response(self) -> Timer:
        """The timer of response times: durations since the throttle slot of the user's token."""
        if self._response is None:
            self._response = self._registry.built_in(Timer, self.name + RESPONSE)
        return self._response

    def _count_on(self, before: Cells) -> None:
        cells = self._cells
        for row in (row for row in range(ROWS) if before[HIT + row]):
            cells[HIT + row] = 1
            for cell in range(row * ROW, (row + 1) * ROW):
                cells[cell] += before[cell]
        cells[CELLS] = max(cells[CELLS], before[CELLS])


class ThrottleMeters(Handle):
    """This worker's counts of a throttle, see `amoc.metrics.throttle_counts`."""

    __slots__ = ("_parts", "executions", "missed", "requests", "waiting")
    kind = Kind.THROTTLE

    def __init__(self, name: str, registry: Registry | None) -> None:
        """Count for throttle `name`; without a `registry`, in private memory."""
        self._parts = [Count() for _ in range(len(COUNTS) + 1)]
        self.requests, self.executions, self.missed, self.waiting = self._parts
        if registry is not None:
            super().__init__(name, Merge.SUM, registry)

    def bind(self, area: Area, *, inherit: bool = False) -> None:
        """Write to the cells of `area` from now on, see `Handle.bind`."""
        super().bind(area, inherit=inherit)
        for at, part in enumerate(self._parts):
            part.cells = self._cells[at : at + 1]

    def _count_on(self, before: Cells) -> None:
        for at in range(len(COUNTS)):
            self._cells[at] += before[at]
        self._cells[len(COUNTS)] = before[len(COUNTS)]
