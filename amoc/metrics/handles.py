"""Counters, gauges and timers: declare them by name anywhere, record into memory, send nothing.

A recorded value is a change of a cell in the worker's area of the board (`amoc.metrics.board`), 0.1
to 0.5 µs; the node reads the board once a second. Until a process is a worker it records into
private memory, so the same code works in a test, in init() and in a user. Handles that were made
before a worker was forked, at a module's top level say, are bound to its cells when it starts.

    metrics.counter("rounds").inc()
    metrics.gauge("queue_length", merge="max").set(12)
    metrics.timer("round_trip").record(0.021)
    with metrics.timer("round_trip").time():
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from operator import index
from typing import Any, Final, TypeVar

from amoc.base.context import GONE
from amoc.base.errors import ScenarioError
from amoc.base.names import check_name
from amoc.base.text import cut
from amoc.metrics import reserved, stopwatch
from amoc.metrics.board import HIT, MAX_COUNT, Area, Cells, Kind, Merge, Metric
from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.histogram import CELLS, LAST_CELL, ROW, ROWS
from amoc.metrics.stopwatch import Stopwatch, ThrottledStopwatch
from amoc.metrics.throttle_counts import COUNTS, Count

MAX_S = 2**64 / 1e9
_ONE: Final = 1
MAX_BYTES = 231
"""Of a metric's name in UTF-8, so that the board has room for a timer's response time, too."""


class _Handle:
    """A metric's name and the cells it writes to in this process."""

    __slots__ = ("_cells", "merge", "name")
    kind: Kind

    def __init__(self, name: str, merge: Merge) -> None:
        self.name = name
        self.merge = merge
        self._bind()

    def _bind(self) -> None:
        self._cells = _own_area().declare(self.kind, self.name, self.merge)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _refusal(self, rule: str, value: object, error: Exception) -> Exception:
        """What is raised because of `value`, about which `error` was raised."""
        kind = TypeError if isinstance(error, TypeError | AttributeError) else ValueError
        return kind(f"{type(self).__name__.lower()} {self.name} must {rule}, got {cut(value)}")


class Counter(_Handle):
    """Counts events; never goes down. Shown as a total and as a rate."""

    __slots__ = ()
    kind = Kind.COUNTER

    @property
    def value(self) -> int:
        """What this worker has counted, its earlier incarnations included."""
        return int(self._cells[0])

    def inc(self, n: int = 1) -> None:
        """Count `n` more events; at 2**64 - 1 a counter stays, which its node reports.

        Raises:
            TypeError: `n` is no whole number.
            ValueError: `n` is negative, or 2**64 or more.
        """
        # Other numbers are checked, for those of NumPy wrap around; that costs the usual 1 nothing.
        if n is not _ONE and (type(n) is not int or n < 0):
            n = self._whole(n)
        try:
            self._cells[0] += n
        except ValueError:  # a cell has 64 bits
            self._whole(n)
            self._cells[0] = MAX_COUNT

    def _whole(self, n: int) -> int:
        try:
            if not 0 <= (whole := index(n)) <= MAX_COUNT:
                raise ValueError
        except (TypeError, ValueError) as error:
            rule = "be incremented by a whole number of 0 or more, below 2**64"
            raise self._refusal(rule, n, error) from None
        return whole


class Gauge(_Handle):
    """A value that goes up and down; those of several workers are merged by its rule."""

    __slots__ = ()
    kind = Kind.GAUGE

    def set(self, value: float) -> None:
        """Set this worker's value.

        Raises:
            TypeError: It is no number.
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
            TypeError: `n` is no number.
            ValueError: `n`, or the value that it would lead to, is not finite.
        """
        self._add(1, n)

    def dec(self, n: float = 1) -> None:
        """Decrease this worker's value by `n`; raises what `inc` does."""
        self._add(-1, n)

    def _add(self, sign: int, n: float) -> None:
        now = self._cells[0]
        try:
            value = sign * n if now != now else now + sign * n  # one that was never set is NaN
            if value - value:
                raise ValueError
            self._cells[0] = value
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refusal("be changed by, and stay, a finite number", n, error) from None


class Timer(_Handle):
    """Durations from 1 ns to over an hour, kept as a histogram with less than 0.4 % error."""

    __slots__ = ("_response",)
    kind = Kind.TIMER
    _response: Timer | None

    def __init__(self, name: str, merge: Merge) -> None:
        super().__init__(name, merge)
        self._response = None

    def record(self, seconds: float) -> None:
        """Record a duration in seconds.

        Raises:
            TypeError: It is no number.
            ValueError: It is negative, not finite, or beyond centuries.
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

        One below zero counts as zero: it is the difference of two clocks.

        Raises:
            TypeError: It is no int.
            ValueError: It is 2**64 or more.
        """
        # board.record, written out: this is called for every message of every user.
        cells = self._cells
        try:
            if ns < 0:
                ns = 0
            shift = ns.bit_length() - 8
            cell = ns if shift < 0 else (shift << 7) + (ns >> shift)
            # The maximum first: a reader in between must not find a duration above it.
            if ns > cells[CELLS]:
                cells[CELLS] = ns
        except (AttributeError, TypeError, ValueError) as error:
            rule = "record an int of nanoseconds below 2**64"
            raise self._refusal(rule, ns, error) from None
        if cell > LAST_CELL:
            cell = LAST_CELL
        count = cells[cell]
        if not count:
            cells[HIT + (cell >> 7)] = 1  # before the cell, for readers look only at rows hit
        cells[cell] = count + 1

    def time(self) -> Stopwatch:
        """A context manager that records how long its block took.

        A block that raises is recorded too: leaving failures out would flatter the target. Only a
        user that is killed inside the block records nothing here. Time for which a pause of the run
        held the user up within the block does not count.

        After the caller has passed a throttle, the first such block and those within it record
        the time since the throttle's slot as well, into a timer of the same name and ``.response``.
        """
        return ThrottledStopwatch(self) if stopwatch.throttled else Stopwatch(self)

    @property
    def response(self) -> Timer:
        """The timer of what is recorded under a throttle's token, since the intended time."""
        if self._response is None:
            self._response = built_in(Timer, self.name + RESPONSE)
        return self._response


class ThrottleMeters(_Handle):
    """What this worker counts of a throttle, see `amoc.metrics.throttle_counts`."""

    __slots__ = ("_parts", "executions", "missed", "requests", "waiting")
    kind = Kind.THROTTLE

    def __init__(self, name: str, counted: bool = True) -> None:
        """Count throttle `name`; unless it is `counted`, in memory of its own."""
        self._parts = [Count() for _ in range(len(COUNTS) + 1)]
        self.requests, self.executions, self.missed, self.waiting = self._parts
        if counted:
            super().__init__(name, Merge.SUM)

    def _bind(self) -> None:
        super()._bind()
        for at, part in enumerate(self._parts):
            part.cells = self._cells[at : at + 1]


_H = TypeVar("_H", bound=_Handle)

_area: Area | None = None
_handles: dict[str, _Handle] = {}
"""The metrics of the scenario, by name."""
_built_in: dict[str | tuple[Kind, str], _Handle] = {}
"""Those of amoc: by name; of throttles, whose names may be those of metrics, by kind and name."""
composed: dict[object, Any] = {}
"""What is made of several metrics, by name or class: the recorders of steps, see `amoc.steps`."""


def counter(name: str) -> Counter:
    """The counter called `name`.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or that of another kind of metric.
    """
    handle = _handles.get(name)
    return handle if type(handle) is Counter else _declare(Counter, name, Merge.SUM)


def gauge(name: str, merge: str = "sum") -> Gauge:
    """The gauge called `name`.

    Args:
        name: Any printable text; see `amoc.base.names.check_name`.
        merge: How the values of several workers are merged: ``sum``, ``max``, ``min`` or ``mean``.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or that of another kind of metric,
            or there is no such rule.
    """
    handle = _handles.get(name)
    if type(handle) is Gauge and handle.merge.name == merge.upper():
        return handle
    try:
        rule = Merge[merge.upper()]
    except KeyError:
        raise ScenarioError(
            f"gauge {name!r} must merge by sum, max, min or mean, got {merge!r}"
        ) from None
    return _declare(Gauge, name, rule)


def timer(name: str) -> Timer:
    """The timer called `name`.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or that of another kind of metric.
    """
    handle = _handles.get(name)
    return handle if type(handle) is Timer else _declare(Timer, name, Merge.SUM)


def built_in(kind: type[_H], name: str, merge: Merge = Merge.SUM) -> _H:
    """A metric of amoc's own, whose name no scenario's metric can have.

    Raises:
        ScenarioError: The scenario has a metric of that name, or there is no room.
    """
    handle = _built_in.get(name)
    if type(handle) is kind:
        return handle
    if name in _handles:
        raise ScenarioError(reserved.refusal(name))
    handle = _built_in[name] = kind(name, merge)
    return handle


def throttle(name: str) -> ThrottleMeters:
    """The meters of throttle `name`.

    Raises:
        ScenarioError: There is no room.
    """
    handle = _built_in.get((Kind.THROTTLE, name))
    if type(handle) is not ThrottleMeters:
        handle = _built_in[Kind.THROTTLE, name] = ThrottleMeters(name)
    return handle


def _declare(wanted: type[_H], name: str, merge: Merge) -> _H:
    check_name("metric", name)
    if len(name.encode()) > MAX_BYTES:
        raise ScenarioError(
            f"the name of a metric must have at most {MAX_BYTES} bytes in UTF-8, got"
            f" {len(name.encode())}: {cut(name, MAX_BYTES)}"
        )
    if name in _built_in or reserved.is_reserved(name):
        raise ScenarioError(reserved.refusal(name))
    handle = wanted(name, merge)
    _handles[name] = handle
    return handle


def _own_area() -> Area:
    global _area
    if _area is None:
        _area = Area.private()
    return _area


def attach(area: Area, inherit: bool) -> None:
    """Record into `area` from now on; called once in a worker, right after it was forked.

    Args:
        area: The worker's own.
        inherit: Whether to take over what was counted before the fork, in init() say; one worker
            of a node does.
    """
    global _area
    _area = area
    area.forget_gauges()
    for handle in _all():
        before = handle._cells
        handle._bind()
        if inherit:
            _count_on(handle.kind, handle._cells, before)


def _count_on(kind: Kind, cells: Cells, before: Cells) -> None:
    """Add to a metric's cells what was counted in others of its kind."""
    if kind is Kind.TIMER:
        for row in (row for row in range(ROWS) if before[HIT + row]):
            cells[HIT + row] = 1
            for cell in range(row * ROW, (row + 1) * ROW):
                cells[cell] += before[cell]
        cells[CELLS] = max(cells[CELLS], before[CELLS])
    elif kind is Kind.THROTTLE:
        for index in range(len(COUNTS)):
            cells[index] += before[index]
        cells[len(COUNTS)] = before[len(COUNTS)]
    elif kind is not Kind.GAUGE:
        cells[0] += before[0]


@contextmanager
def separate(area: Area | None = None) -> Iterator[None]:
    """Within the block there are no metrics but those declared in it: for tests.

    Args:
        area: What they record into; private memory where none is given.
    """
    global _area, _handles, _built_in, composed
    before = _area, _handles, _built_in, composed, stopwatch.throttled
    _area, _handles, _built_in, composed, stopwatch.throttled = area, {}, {}, {}, False
    try:
        yield
    finally:
        _area, _handles, _built_in, composed, stopwatch.throttled = before


def take_away() -> None:
    """In a forked process: let no handle reach the cells of the worker that it was copied from."""
    global _area
    _area = GONE
    for handle in _all():
        handle._cells = GONE


def read() -> list[Metric]:
    """What this process has recorded."""
    return _own_area().read()


def declared() -> list[tuple[str, int]]:
    """Name and `Kind` of each metric that this process has a handle of."""
    return sorted((one.name, int(one.kind)) for one in _all() if one.kind is not Kind.THROTTLE)


def _all() -> Iterator[_Handle]:
    return chain(_handles.values(), _built_in.values())


def fits(name: str, kept_free: int, kind: Kind = Kind.COUNTER) -> bool:
    """Whether `name` is a metric already, or can be one and leave room for `kept_free` others."""
    area = _own_area()
    return area.has(kind, name) or area.free > kept_free
