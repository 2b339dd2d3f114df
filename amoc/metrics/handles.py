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

A user that a throttle let through has an intended time: that of its slot. A `time()` block that
begins after that records two durations: how long it took (service time), and into ``NAME.response``
the time since the intended time (response time). A target that stalls makes users late for their
slots; the service time does not show that, the response time does. It also includes the turns that
users missed because the target held them up, see `amoc.metrics.coordinated_omission`.
"""

from __future__ import annotations

import re
from time import perf_counter_ns
from typing import Any, TypeVar

from gevent import getcurrent

from amoc.base.errors import ScenarioError
from amoc.base.pause import own_paused_ns, paused_ns
from amoc.metrics import coordinated_omission
from amoc.metrics.board import Area, Kind, Merge, Metric
from amoc.metrics.coordinated_omission import MAX_TIMERS, Cadence, missed
from amoc.metrics.histogram import CELLS, LAST_CELL
from amoc.metrics.throttle_counts import COUNTS

RESPONSE = coordinated_omission.RESPONSE
MAX_S = 2**64 / 1e9
THROTTLE = "throttle."
"""Begins what thresholds call a throttle's figures, so no metric of a scenario begins so."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class _Handle:
    """A metric's name and the cells it writes to in this process."""

    __slots__ = ("_cells", "merge", "name")
    kind: Kind

    def __init__(self, name: str, merge: Merge) -> None:
        self.name = name
        self.merge = merge
        self._bind(_area)

    def _bind(self, area: Area | None) -> None:
        self._cells: memoryview[Any] = (area or _own_area()).declare(
            self.kind, self.name, self.merge
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Counter(_Handle):
    """Counts events; never goes down. Shown as a total and as a rate."""

    __slots__ = ()
    kind = Kind.COUNTER

    def inc(self, n: int = 1) -> None:
        """Count `n` more events.

        Raises:
            ValueError: `n` is negative.
        """
        if n < 0:
            raise ValueError(f"counter {self.name} must be incremented by 0 or more, got {n}")
        self._cells[0] += n


class Gauge(_Handle):
    """A value that goes up and down; those of several workers are merged by its rule."""

    __slots__ = ()
    kind = Kind.GAUGE

    def set(self, value: float) -> None:
        """Set this worker's value."""
        self._cells[0] = value

    def inc(self, n: float = 1) -> None:
        """Increase this worker's value by `n`; it starts at 0."""
        now = self._cells[0]
        self._cells[0] = n if now != now else now + n  # a gauge that was never set is NaN

    def dec(self, n: float = 1) -> None:
        """Decrease this worker's value by `n`."""
        self.inc(-n)


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
            ValueError: It is no number, or beyond centuries.
        """
        try:
            self.record_ns(round(seconds * 1e9))
        except (ValueError, OverflowError):  # a cell has 64 bits
            raise ValueError(
                f"timer {self.name} must record a number of seconds below {MAX_S:.2g},"
                f" got {seconds}"
            ) from None

    def record_ns(self, ns: int) -> None:
        """Record a duration in nanoseconds; one below zero counts as zero."""
        # histogram.cell_of, written out: this is called for every message of every user.
        if ns < 0:
            ns = 0
        shift = ns.bit_length() - 8
        cell = ns if shift < 0 else (shift << 7) + (ns >> shift)
        cells = self._cells
        # The maximum first: a reader in between must not find a duration above it.
        if ns > cells[CELLS]:
            cells[CELLS] = ns
        cells[cell if cell < LAST_CELL else LAST_CELL] += 1  # noqa: FURB136 - min() costs a call

    def time(self) -> _Stopwatch:
        """A context manager that records how long its block took.

        A block that raises is recorded too: leaving failures out would flatter the target. Only a
        user that is killed inside the block records nothing here. Time for which a pause of the run
        held the user up within the block does not count.

        After a throttle has let the caller through, the first such block and those within it record
        the time since the throttle's slot as well, into a timer of the same name and ``.response``.
        """
        return _ThrottledStopwatch(self) if _throttled else _Stopwatch(self)

    @property
    def response(self) -> Timer:
        """The timer of what is recorded under a throttle's token, since the intended time."""
        if self._response is None:
            self._response = _declare(Timer, self.name + RESPONSE, Merge.SUM)
        return self._response


class Count:
    """One cell of several that belong together."""

    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells: memoryview[Any] = memoryview(bytearray(8)).cast("Q")  # that nobody sees

    def inc(self, n: int = 1, /) -> None:
        """Count `n` more, which is 0 or more."""
        self.cells[0] += n

    def set(self, value: int, /) -> None:
        """Show `value`."""
        self.cells[0] = value


class ThrottleMeters(_Handle):
    """What this worker counts of a throttle, see `amoc.metrics.throttle_counts`."""

    __slots__ = ("_parts", "executions", "missed", "requests", "waiting")
    kind = Kind.THROTTLE

    def __init__(self, name: str, counted: bool = True) -> None:
        """Count throttle `name`; where nobody sees it if it is not to be `counted`."""
        self._parts = [Count() for _ in range(len(COUNTS) + 1)]
        self.requests, self.executions, self.missed, self.waiting = self._parts
        if counted:
            super().__init__(name, Merge.SUM)

    def _bind(self, area: Area | None) -> None:
        super()._bind(area)
        for at, part in enumerate(self._parts):
            part.cells = self._cells[at : at + 1]


class _Stopwatch:
    __slots__ = ("_paused_ns", "_start_ns", "_timer")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def __enter__(self) -> None:
        self._paused_ns = own_paused_ns()  # a pause of the run is not the target's doing
        self._start_ns = perf_counter_ns()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, Exception):
            paused = own_paused_ns() - self._paused_ns
            self._timer.record_ns(perf_counter_ns() - self._start_ns - paused)


class _Token:
    """Permission from a throttle, until it is used."""

    __slots__ = ("depth", "intended_ns")

    def __init__(self, intended_ns: int) -> None:
        self.intended_ns = intended_ns
        self.depth = 0  # blocks begun under it that have not ended


class _ThrottledStopwatch(_Stopwatch):
    """A stopwatch in a process where throttles are in use."""

    __slots__ = ("_token", "_whose")

    def __enter__(self) -> None:
        whose: Any = getcurrent()
        token = getattr(whose, "throttle_token", None)
        if type(token) is int:
            token = whose.throttle_token = _Token(token)
        self._whose = whose
        self._token: _Token | None = token
        if token is not None:
            token.depth += 1
        super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        end_ns = perf_counter_ns()  # the clock of `base.clock.now_ns`, on Linux
        token = self._token
        if token is not None:
            token.depth -= 1
            if not token.depth and getattr(self._whose, "throttle_token", None) is token:
                self._whose.throttle_token = None
        if kind is None or issubclass(kind, Exception):
            paused = own_paused_ns()
            self._timer.record_ns(end_ns - self._start_ns - paused + self._paused_ns)
            if token is not None:
                _respond(self._whose, self._timer, token.intended_ns, end_ns - paused)
        elif token is not None:  # it was killed in the middle, perhaps because it hung for so long
            _respond(
                self._whose, self._timer, token.intended_ns, end_ns - own_paused_ns(), killed=True
            )


def _respond(
    whose: Any, timer: Timer, intended_ns: int, end_ns: int, *, killed: bool = False
) -> None:
    """Record the response time of a block that `whose` has ended, and of turns it has missed.

    One that was `killed` would have taken longer: it counts only if it has kept turns from
    happening, for then what is known of it is bad enough.
    """
    response_ns = end_ns - intended_ns
    response = timer._response or timer.response
    if not killed:
        response.record_ns(response_ns)
    first: Cadence | None = getattr(whose, "throttle_cadence", None)
    cadence = first
    others = 0
    while cadence is not None and cadence.timer is not timer:
        cadence = cadence.following
        others += 1
    if cadence is None:
        if others < MAX_TIMERS:
            whose.throttle_cadence = Cadence(timer, intended_ns, paused_ns(), first)
    elif cadence.turn(intended_ns, paused_ns(), response_ns):
        if killed:
            response.record_ns(response_ns)
        cells = response._cells
        for cell, hits in missed(response_ns, cadence.usual_ns):
            cells[cell] += hits


def put_token(whose: Any, intended_ns: int) -> None:
    """The greenlet `whose` was let through a throttle; a token that it still had is replaced."""
    global _throttled
    _throttled = True
    # On the greenlet's own clock, without pauses. A `_Token` is made when a timer is begun.
    whose.throttle_token = intended_ns - getattr(whose, "paused_ns", 0)


def drop_token(whose: Any) -> None:
    """The greenlet `whose` is done with what it was let through for, begun or not."""
    if _throttled and getattr(whose, "throttle_token", None) is not None:
        whose.throttle_token = None


_throttled = False
"""Whether any token was ever given in this process: until then looking for one costs nothing."""

_H = TypeVar("_H", bound=_Handle)

_area: Area | None = None
_handles: dict[str | tuple[Kind, str], _Handle] = {}
"""By name; those of throttles, whose names may be those of metrics, by kind and name."""


def counter(name: str) -> Counter:
    """The counter called `name`.

    Raises:
        ScenarioError: The name is malformed, or that of another kind of metric.
    """
    handle = _handles.get(name)
    return handle if type(handle) is Counter else _declare(Counter, _own(name), Merge.SUM)


def gauge(name: str, merge: str = "sum") -> Gauge:
    """The gauge called `name`.

    Args:
        name: Letters, digits, ``_``, ``.`` and ``-``.
        merge: How the values of several workers are merged: ``sum``, ``max``, ``min`` or ``mean``.

    Raises:
        ScenarioError: The name is malformed or that of another kind of metric, or the rule is none.
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
    return _declare(Gauge, _own(name), rule)


def timer(name: str) -> Timer:
    """The timer called `name`.

    Raises:
        ScenarioError: The name is malformed, or that of another kind of metric.
    """
    handle = _handles.get(name)
    return handle if type(handle) is Timer else _declare(Timer, _own(name), Merge.SUM)


def built_in(kind: type[_H], name: str) -> _H:
    """A metric of amoc's own, whose name a scenario could not take.

    Raises:
        ScenarioError: The name is that of another kind of metric, or there is no room.
    """
    handle = _handles.get(name)
    return handle if type(handle) is kind else _declare(kind, name, Merge.SUM)


def throttle(name: str) -> ThrottleMeters:
    """The meters of throttle `name`.

    Raises:
        ScenarioError: There is no room.
    """
    handle = _handles.get((Kind.THROTTLE, name))
    if type(handle) is not ThrottleMeters:
        handle = _handles[Kind.THROTTLE, name] = ThrottleMeters(name)
    return handle


def _own(name: str) -> str:
    """`name`, unless it is one of those that amoc makes itself."""
    if isinstance(name, str) and name.startswith(THROTTLE):
        raise ScenarioError(
            f"a metric's name must not begin with {THROTTLE!r}, which is reserved for the figures"
            f" of throttles, got {name!r}"
        )
    if isinstance(name, str) and name.endswith(RESPONSE):
        raise ScenarioError(
            f"a metric's name must not end in {RESPONSE!r}, which is reserved for the response"
            f" times of throttled users, got {name!r}"
        )
    return name


def _declare(wanted: type[_H], name: str, merge: Merge) -> _H:
    if not _NAME.fullmatch(name):
        raise ScenarioError(
            "a metric's name must start with a letter or '_' and contain only letters, digits, '_',"
            f" '.' and '-', got {name!r}"
        )
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
    for handle in _handles.values():
        before = handle._cells
        handle._bind(area)
        if inherit and handle.kind is not Kind.GAUGE:
            *counts, last = (mine + old for mine, old in zip(handle._cells, before, strict=True))
            if handle.kind in (Kind.TIMER, Kind.THROTTLE):
                last = before[-1]  # the maximum; who waits
            for index, count in enumerate([*counts, last]):
                handle._cells[index] = count


def read() -> list[Metric]:
    """What this process has recorded."""
    return _own_area().read()


def declared() -> list[tuple[str, int]]:
    """Name and `Kind` of each metric that this process has a handle of."""
    metrics = (one for one in _handles.values() if one.kind is not Kind.THROTTLE)
    return sorted((one.name, int(one.kind)) for one in metrics)


def fits(name: str, kept_free: int, kind: Kind = Kind.COUNTER) -> bool:
    """Whether `name` is a metric already, or can be one and leave room for `kept_free` others."""
    area = _own_area()
    return area.has(kind, name) or area.free > kept_free
