"""Counters, gauges and timers by name. They can be declared anywhere; a name is a single metric.

Until a process is a worker, it records into private memory, so the same code works in a test, in
init() and in a user. Handles created before a worker was forked, for example at a module's top
level, are bound to its cells when it starts.

    metrics.counter("rounds").inc()
    metrics.gauge("queue_length", merge="max").set(12)
    metrics.timer("round_trip").record(0.021)
    with metrics.timer("round_trip").time():
        ...

A process has one registry, which contains all of its metrics. A test creates its own:

    with Registry().activated():
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

from amoc.base.context import GONE
from amoc.base.errors import ScenarioError
from amoc.base.names import check_name
from amoc.base.text import cut
from amoc.metrics import reserved, stopwatch
from amoc.metrics.area import Area, Kind, Merge, Metric, joint_name, joint_parts
from amoc.metrics.handles import Counter, Gauge, Handle, ThrottleMeters, Timer

MAX_BYTES = 231
"""Maximum size of a metric's name in UTF-8; leaves room for the suffix of response times."""
_H = TypeVar("_H", bound=Handle)


class Registry:
    """The metrics of a process, and the memory that they record into.

    Attributes:
        handles: The metrics of the scenario, by name.
        composed: Objects composed of several metrics, by name or class: the recorders of steps, see
            `amoc.steps`.
    """

    def __init__(self, area: Area | None = None) -> None:
        """Start without metrics.

        Args:
            area: The area to record into; private memory by default.
        """
        self._area = area
        self.handles: dict[str, Handle] = {}
        self.composed: dict[object, Any] = {}  # Any: the key says what it is
        # amoc's own: by name; for throttles, which may share names with metrics, by kind as well.
        self._built_in: dict[str | tuple[Kind, str], Handle] = {}

    @property
    def area(self) -> Area:
        """The area that they record into."""
        if self._area is None:
            self._area = Area.private()
        return self._area

    def declare(self, wanted: type[_H], name: str, merge: Merge = Merge.SUM) -> _H:
        """Create a metric of the scenario that this process has no handle of.

        Raises:
            ScenarioError: The name is malformed, one of amoc's own, or used by another kind.
        """
        check_name("metric", name)
        if len(name.encode()) > MAX_BYTES:
            raise ScenarioError(
                f"the name of a metric must have at most {MAX_BYTES} bytes in UTF-8, got"
                f" {len(name.encode())}: {cut(name, MAX_BYTES)}"
            )
        if name in self._built_in or reserved.is_reserved(name):
            raise ScenarioError(reserved.refusal(name))
        handle = self.handles[name] = wanted(name, merge, self)
        return handle

    def built_in(self, kind: type[_H], name: str, merge: Merge = Merge.SUM) -> _H:
        """Return one of amoc's own metrics, whose name the scenario cannot use.

        Raises:
            ScenarioError: The scenario has a metric of that name, or there is no room.
        """
        handle = self._built_in.get(name)
        if type(handle) is kind:
            return handle
        if name in self.handles:
            raise ScenarioError(reserved.refusal(name))
        handle = self._built_in[name] = kind(name, merge, self)
        return handle

    def throttle(self, name: str) -> ThrottleMeters:
        """Return the meters of throttle `name`.

        Raises:
            ScenarioError: There is no room.
        """
        handle = self._built_in.get((Kind.THROTTLE, name))
        if type(handle) is not ThrottleMeters:
            handle = self._built_in[Kind.THROTTLE, name] = ThrottleMeters(name, self)
        return handle

    def joint(self, parts: tuple[_H, ...]) -> tuple[_H, ...]:
        """Return a metric that counts in each of some counters, or two timers, at the cost of one.

        Returns:
            A metric of their kind; `parts` if there is no room, or if not all are in this registry.
        """
        name = joint_name(one.name for one in parts)
        are_here = all(
            one is self._built_in.get(one.name) or one is self.handles.get(one.name)
            for one in parts
        )
        if are_here and (name in self._built_in or self.area.has_room_for_joint):
            return (self.built_in(type(parts[0]), name),)
        return parts

    def attach(self, area: Area, inherit: bool) -> None:
        """Record into `area` from now on; called once in a worker, right after it was forked.

        Args:
            area: The worker's own area.
            inherit: Whether to take over what was counted before the fork, for example in init();
                one worker of each node does.
        """
        self._area = area
        area.forget_gauges()
        for handle in self._all():
            handle.bind(area, inherit=inherit)

    def disable(self) -> None:
        """In a forked process: detach all handles from the cells of the worker it is a copy of."""
        self._area = GONE
        for handle in self._all():
            handle.unbind(GONE)

    def declared(self) -> list[tuple[str, int]]:
        """Return name and `Kind` of each metric that this process has a handle of."""
        return sorted(
            (one.name, int(one.kind))
            for one in self._all()
            if one.kind is not Kind.THROTTLE and not joint_parts(one.kind, one.name)
        )

    def fits(self, name: str, kept_free: int, kind: Kind = Kind.COUNTER) -> bool:
        """Return whether `name` is a metric, or can be added with room left for `kept_free`."""
        free = self.area.free_for_throttles if kind is Kind.THROTTLE else self.area.free
        return self.area.has(kind, name) or free > kept_free

    def _all(self) -> Iterator[Handle]:
        return chain(self.handles.values(), self._built_in.values())

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Make this the process's registry inside the block, which starts without a token."""
        global current
        before = current, stopwatch.throttled
        current, stopwatch.throttled = self, False
        try:
            yield
        finally:
            current, stopwatch.throttled = before


current = Registry()
"""The registry of this process."""


def counter(name: str) -> Counter:
    """Return the counter called `name`.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or used by another kind of metric.
    """
    handle = current.handles.get(name)
    return handle if type(handle) is Counter else current.declare(Counter, name)


def gauge(name: str, merge: str = "sum") -> Gauge:
    """Return the gauge called `name`.

    Args:
        name: Any printable text; see `amoc.base.names.check_name`.
        merge: How the values of several workers are merged: ``sum``, ``max``, ``min`` or ``mean``.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or used by another kind of metric,
            or there is no such rule.
    """
    handle = current.handles.get(name)
    if type(handle) is Gauge and handle.merge.name == merge.upper():
        return handle
    try:
        rule = Merge[merge.upper()]
    except KeyError:
        raise ScenarioError(
            f"gauge {name!r} must merge by sum, max, min or mean, got {merge!r}"
        ) from None
    return current.declare(Gauge, name, rule)


def timer(name: str) -> Timer:
    """Return the timer called `name`.

    Raises:
        ScenarioError: The name is malformed, one of amoc's own, or used by another kind of metric.
    """
    handle = current.handles.get(name)
    return handle if type(handle) is Timer else current.declare(Timer, name)


def built_in(kind: type[_H], name: str, merge: Merge = Merge.SUM) -> _H:
    """Return one of amoc's own metrics in this process, see `Registry.built_in`."""
    return current.built_in(kind, name, merge)


def joint(parts: tuple[_H, ...]) -> tuple[_H, ...]:
    """Return a metric that counts in each of `parts` in this process, see `Registry.joint`."""
    return current.joint(parts)


def read() -> list[Metric]:
    """Return what this process has recorded."""
    return current.area.read()
