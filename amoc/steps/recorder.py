"""Recording of the executions of steps, in the metrics of `amoc.metrics.step_names`.

A library's requests become steps automatically. A library that knows how long a request took
records it when it ends. The name, like that of any step, is any text with a limited number of
values:

    recorder.record("GET /item/[id]", ns, size=len(body))
    recorder.record("GET /item/[id]", ns, cause="status 503", message="503 Service Unavailable")
    recorder.fail_later("GET /item/[id]", "check status", "expected 200, got 204")

A library that needs response times under a throttle as well (`amoc.metrics.stopwatch`) uses `Step`,
as a scenario does.

Only successful executions are timed: an immediate refusal or a timeout would distort the times. All
executions are counted, and each failure has exactly one cause, the first. The metrics are cells of
the worker on the shared board, so they sum exactly across workers and survive a killed worker. A
step in which its user is killed or asked to stop is not counted.

`AGGREGATED` counts each request once: executions of steps without inner steps. An enclosing step is
not counted again. But if it fails although no inner step failed, the failure is counted in
`AGGREGATED`, too, so none goes unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple, Protocol

from gevent import getcurrent

from amoc import metrics
from amoc.base import context
from amoc.base.errors import ScenarioError
from amoc.base.text import printable
from amoc.metrics import optional, registry, together
from amoc.metrics.area import Merge
from amoc.metrics.step_names import (
    AGGREGATED,
    BYTES,
    CAUSE,
    COUNT,
    FAILURES,
    FIRST_FAILURE,
    LAST_FAILURE,
    OTHER,
)

MAX_CAUSES = 20
"""Maximum number of failure causes per step and worker."""
MAX_CAUSE = 100
"""Maximum length of a cause, in characters."""
MAX_MESSAGE = 500
"""Maximum length of a sample's message, in characters."""
KEPT_FREE = 500
"""Metrics kept in reserve, which failure causes may not use up."""


class FailureSamples:
    """The part of a worker that forwards the first failure with each cause.

    Args:
        report: Called with the step, the cause and the message.
    """

    def __init__(self, report: Callable[[str, str, str], None]) -> None:
        self.report = report


class _Cause:
    """The failures of a step with one cause: their number, and the times of the first and last."""

    __slots__ = ("_counter", "_last", "count")

    def __init__(self, counter: optional.Count, name: str) -> None:
        """Count in `counter`, whose name is `name`."""
        self._counter = counter
        first = optional.gauge(FIRST_FAILURE + name, Merge.MIN, KEPT_FREE)
        self._last = optional.gauge(LAST_FAILURE + name, Merge.MAX, KEPT_FREE)
        first.set(monotonic())

    def inc(self) -> None:
        """Count a failure that happened now."""
        self._last.set(monotonic())  # first, so that no sample has a failure without its time
        self._counter.inc()


class OpenStep(Protocol):
    """The innermost open step of a greenlet, its attribute ``open_step``.

    Attributes:
        has_inner: Whether another step was executed within it.
        inner_failed: Whether one of those has failed.
    """

    has_inner: bool
    inner_failed: bool

    def fail(self, cause: str, details: str = "") -> None:
        """Mark it as failed."""


has_opened = False
"""Whether any step has been opened in this process; until then requests do not look for one."""


def open_step() -> OpenStep | None:
    """Return the calling greenlet's innermost open step."""
    found: OpenStep | None = getattr(getcurrent(), "open_step", None)
    return found


class _Leaf(NamedTuple):
    """Counters and timers of a request: those of its step and of `AGGREGATED`."""

    counters: tuple[metrics.Counter, ...]
    timers: tuple[metrics.Timer, ...]


class Recorder:
    """Records the executions of one step.

    Attributes:
        name: The step's name.
        timer: Times of successful executions.
        count: Counter of all executions.
        failures: Counter of failed executions.
        whole: The recorder of `AGGREGATED`.
        composed: Data that other modules attach to it.
    """

    __slots__ = (
        *("_bytes", "_causes", "_counter", "_leaf", "_sizes", "composed", "count"),
        *("failures", "name", "timer", "whole"),
    )

    def __init__(self, name: str) -> None:
        """Declare the metrics of step `name`.

        Raises:
            ScenarioError: It cannot be a metric's name, another kind of metric has it, or the limit
                on metrics is reached.
        """
        if isinstance(name, str) and FAILURES in name:
            raise ScenarioError(f"the name of a step must not contain {FAILURES!r}, got {name!r}")
        self.name = name
        total = type(self) is _Whole
        self.timer = metrics.built_in(metrics.Timer, name) if total else metrics.timer(name)
        self._counter = _built_in_counter if total else metrics.counter
        self.count = self._counter(name + COUNT)
        self.failures = self._counter(name + FAILURES)
        self._causes: dict[str, _Cause] = {}
        self._bytes: tuple[metrics.Counter, metrics.Counter] | None = None
        self.whole: Recorder = self if total else _whole()
        self._leaf: _Leaf | None = None
        self._sizes: tuple[metrics.Counter, ...] = ()
        self.composed: dict[object, Any] = {}  # Any: the key says what it is

    def succeeded(self, ns: int, is_leaf: bool = True, size: int = 0) -> None:
        """Count a successful execution.

        Args:
            ns: Its duration.
            is_leaf: Whether it had no inner step, and so is a request.
            size: Bytes read by the request.
        """
        if is_leaf:
            amounts: together.Amounts = ()
            if size:
                amounts = tuple([(one, size) for one in self._sizes or self._count_sizes()])
            counters, timers = self._leaf or self._count_leaves()
            together.record(counters, amounts, timers, ns)
        else:
            self.count.inc()
            self.timer.record_ns(ns)

    def joint(self) -> tuple[metrics.Timer, metrics.Counter] | None:
        """Return one timer and one byte counter, each recording here and in `AGGREGATED`.

        None if there are no such joint cells.
        """
        timers = (self._leaf or self._count_leaves()).timers
        sizes = self._sizes or self._count_sizes()
        return (timers[0], sizes[0]) if len(timers) == len(sizes) == 1 else None

    def failed(self, cause: str, message: str, is_leaf: bool = True) -> None:
        """Count a failed execution, with `message` as a possible sample."""
        self.count.inc()
        if is_leaf:
            self.whole.count.inc()
            self.whole.failed_later()
        self.failed_later(cause, message)

    def failed_later(self, cause: str = "", message: str = "") -> None:
        """Count an execution as failed that was counted before."""
        self.failures.inc()
        known = self._causes.get(cause)
        if known is None:
            known = self._new_cause(cause, message)
        known.inc()

    def read(self, size: int, is_leaf: bool = True) -> None:
        """Count `size` bytes as read."""
        own, all_ = self._bytes or self._count_bytes()
        own.inc(size)
        if is_leaf:
            all_.inc(size)

    def _count_leaves(self) -> _Leaf:
        counters, timers = (self.count, self.whole.count), (self.timer, self.whole.timer)
        leaf = self._leaf = _Leaf(registry.joint(counters), registry.joint(timers))
        return leaf

    def _count_sizes(self) -> tuple[metrics.Counter, ...]:
        self._sizes = registry.joint(self._bytes or self._count_bytes())
        return self._sizes

    def _count_bytes(self) -> tuple[metrics.Counter, metrics.Counter]:
        """Declare the byte counters of this step and of `AGGREGATED`; not every step reads any."""
        whole = self.whole
        both = self._counter(self.name + BYTES), whole._counter(whole.name + BYTES)
        self._bytes = both
        return both

    def _new_cause(self, cause: str, message: str) -> _Cause:
        """Return the record of a cause new to this worker, or of `OTHER` beyond the limit."""
        shown = _one_line(cause)[:MAX_CAUSE] or OTHER
        known = self._causes
        if shown in known:  # known in another spelling
            return known[shown]
        counter = optional.NOTHING if len(known) >= MAX_CAUSES else self._cause(shown, KEPT_FREE)
        if counter is optional.NOTHING:
            message = f"{shown}: {message}" if message and message != shown else shown
            shown = OTHER
            if shown in known:
                return known[shown]
            counter = self._cause(shown, 0)
        found = known[shown] = _Cause(counter, self.name + CAUSE + shown)
        samples = context.find(FailureSamples)
        if samples is not None:
            samples.report(self.name, shown, _one_line(message)[:MAX_MESSAGE])
        return found

    def _cause(self, cause: str, kept_free: int) -> optional.Count:
        return optional.counter(self.name + CAUSE + cause, kept_free)


class _Whole(Recorder):
    """Records all requests as `AGGREGATED`."""

    __slots__ = ()

    def failed_later(self, _cause: str = "", _message: str = "") -> None:
        """Count a failure; the causes are kept with the steps."""
        self.failures.inc()


def _whole() -> Recorder:
    found: Recorder | None = registry.current.composed.get(_Whole)
    if found is None:
        found = registry.current.composed[_Whole] = _Whole(AGGREGATED)
    return found


def _built_in_counter(name: str) -> metrics.Counter:
    return metrics.built_in(metrics.Counter, name)


def _one_line(text: str) -> str:
    return " ".join(printable(str(text)).split())


def of(name: str) -> Recorder:
    """Return the recorder of step `name`; raises the same errors as `Recorder`."""
    found: Recorder | None = registry.current.composed.get(name)
    if found is None:
        found = registry.current.composed[name] = Recorder(name)
    return found


Observer = Callable[[str, int, str, str, "OpenStep | None"], object]
"""Called with a step's name, duration in ns, cause of failure, details, and the enclosing step."""
observer: Observer | None = None
"""Called for each request passed to `record`, if set (`amoc.steps.tracing`)."""


def record(
    name: str,
    ns: int,
    *,
    size: int = 0,
    cause: str | None = None,
    message: str = "",
    failed_ns: int = 0,
) -> None:
    """Record a completed request as an execution of step `name`.

    Args:
        name: Any text with a limited number of values: ``GET /item/[id]``.
        ns: Its duration in nanoseconds.
        size: Bytes read; 0 if unknown.
        cause: A short reason shared with similar failures: ``status 503``. None if it succeeded.
        message: More about this failure; one is kept as a sample for each cause.
        failed_ns: Time until the failure in nanoseconds, for its span.

    Raises:
        ScenarioError: `name` cannot be a step's name, or the limit on metrics is reached.
    """
    one: Recorder = registry.current.composed.get(name) or of(name)
    if cause is None:
        one.succeeded(ns, size=size)
    else:
        one.failed(cause, message)
        if size:
            one.read(size)
    outer = getattr(getcurrent(), "open_step", None)
    if outer is not None:
        outer.has_inner = True
        outer.inner_failed |= cause is not None
    if observer is not None:
        observer(name, failed_ns or ns, cause or "", message, outer)


def fail_later(name: str, cause: str, message: str = "") -> None:
    """Count a request as failed that was recorded as successful; call it once for a request.

    Its time stays recorded. The arguments are those of `record`.
    """
    outer = open_step()
    if outer is not None:
        outer.inner_failed = True
    one = of(name)
    one.failed_later(cause, message)
    one.whole.failed_later()
