"""Where the executions of a step are recorded; its metrics are those of `amoc.metrics.step_names`.

A library's requests are steps without being asked. One that knows how long a request took records
it when it is over; its name, like that of any step, is any text, of a limited number of kinds:

    recorder.record("GET /item/[id]", ns, size=len(body))
    recorder.record("GET /item/[id]", ns, cause="status 503", message="503 Service Unavailable")
    recorder.fail_later("GET /item/[id]", "check status", "expected 200, got 204")

One that wants response times under a throttle as well (`amoc.metrics.stopwatch`) uses `Step`, as a
scenario does.

Only executions that succeed are timed: neither a refusal in no time nor a time-out is a time to
compare with. All are counted, and each failed one has exactly one cause, the first. They are cells
of the worker's own on the board, so figures are exact over workers and outlive a worker that is
killed. A user that is killed or asked to stop within a step leaves no trace of it.

`AGGREGATED` counts requests, each once: executions of steps within which no other step was
executed. A step around others is not counted again; but where it fails and none of those within it
has failed, that is a failure of `AGGREGATED`, too, so none goes unseen.
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
"""Causes of failures that a worker tells apart in a step."""
MAX_CAUSE = 100
"""Characters of a cause."""
MAX_MESSAGE = 500
"""Characters of a sample's message."""
KEPT_FREE = 500
"""Metrics that causes leave room for."""


class FailureSamples:
    """Told of the first failure with each cause; the part of a worker that passes it on.

    Args:
        report: Called with the step, the cause and the message.
    """

    def __init__(self, report: Callable[[str, str, str], None]) -> None:
        self.report = report


class _Cause:
    """Counts failures of a step with a cause, and notes when the first and the last was."""

    __slots__ = ("_counter", "_last", "count")

    def __init__(self, counter: optional.Count, name: str) -> None:
        """Count with `counter`, which is called `name`."""
        self._counter = counter
        first = optional.gauge(FIRST_FAILURE + name, Merge.MIN, KEPT_FREE)
        self._last = optional.gauge(LAST_FAILURE + name, Merge.MAX, KEPT_FREE)
        first.set(monotonic())

    def inc(self) -> None:
        """Count one, now."""
        self._last.set(monotonic())  # first, or a sample might tell of one without its moment
        self._counter.inc()


class OpenStep(Protocol):
    """A greenlet's innermost open step, its attribute ``open_step``.

    Attributes:
        has_inner: Whether another step was executed within it.
        inner_failed: Whether one of those has failed.
    """

    has_inner: bool
    inner_failed: bool

    def fail(self, cause: str, details: str = "") -> None:
        """Let it count as failed."""


has_opened = False
"""Whether a step was ever opened in this process: until then no request looks for one around it."""


def open_step() -> OpenStep | None:
    """The calling greenlet's innermost open step."""
    found: OpenStep | None = getattr(getcurrent(), "open_step", None)
    return found


class _Leaf(NamedTuple):
    """What counts and times an execution that is a request, in its step and in all of them."""

    counters: tuple[metrics.Counter, ...]
    timers: tuple[metrics.Timer, ...]


class Recorder:
    """Records the executions of one step.

    Attributes:
        name: The step's.
        timer: Of executions that succeeded.
        count: All executions.
        failures: Those that failed.
        whole: The recorder of all steps.
        composed: What others keep with it.
    """

    __slots__ = (
        *("_bytes", "_causes", "_counter", "_leaf", "_sizes", "composed", "count"),
        *("failures", "name", "timer", "whole"),
    )

    def __init__(self, name: str) -> None:
        """Declare the metrics of step `name`.

        Raises:
            ScenarioError: It cannot be a metric's name, or is that of another kind of metric, or
                there is no room.
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
        self.composed: dict[object, Any] = {}

    def succeeded(self, ns: int, is_leaf: bool = True, size: int = 0) -> None:
        """Count an execution that took `ns`.

        Args:
            ns: Its duration.
            is_leaf: Whether no other step was executed within it, so that it is a request.
            size: Bytes that such a request has read.
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
        """What times a request, and what counts its bytes, here and in all; None without room."""
        timers = (self._leaf or self._count_leaves()).timers
        sizes = self._sizes or self._count_sizes()
        return (timers[0], sizes[0]) if len(timers) == len(sizes) == 1 else None

    def failed(self, cause: str, message: str, is_leaf: bool = True) -> None:
        """Count one that failed; `message` is a sample's."""
        self.count.inc()
        if is_leaf:
            self.whole.count.inc()
            self.whole.failed_later()
        self.failed_later(cause, message)

    def failed_later(self, cause: str = "", message: str = "") -> None:
        """Count one as failed that was counted before."""
        self.failures.inc()
        known = self._causes.get(cause)
        if known is None:
            known = self._new_cause(cause, message)
        known.inc()

    def read(self, size: int, is_leaf: bool = True) -> None:
        """Count bytes."""
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
        """Declare what counts bytes, of this step and of all; not all kinds of steps read any."""
        whole = self.whole
        both = self._counter(self.name + BYTES), whole._counter(whole.name + BYTES)
        self._bytes = both
        return both

    def _new_cause(self, cause: str, message: str) -> _Cause:
        """What counts a cause that this worker sees for the first time, or of all others."""
        shown = _one_line(cause)[:MAX_CAUSE] or OTHER
        known = self._causes
        if shown in known:  # it was written otherwise
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
    """Records all requests together."""

    __slots__ = ()

    def failed_later(self, _cause: str = "", _message: str = "") -> None:
        """Count one as failed; the causes are those of the steps."""
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
    """The recorder of step `name`; raises what `Recorder` does."""
    found: Recorder | None = registry.current.composed.get(name)
    if found is None:
        found = registry.current.composed[name] = Recorder(name)
    return found


Observer = Callable[[str, int, str, str, "OpenStep | None"], object]
"""Takes a step's name, how long it took, why it failed, what else there is to say, and the step
around it."""
observer: Observer | None = None
"""Sees what `record` records, where somebody wants to (`amoc.steps.tracing`)."""


def record(
    name: str,
    ns: int,
    *,
    size: int = 0,
    cause: str | None = None,
    message: str = "",
    failed_ns: int = 0,
) -> None:
    """Record a request that is over, as an execution of step `name`.

    Args:
        name: Any text, of a limited number of kinds: ``GET /item/[id]``.
        ns: How long it took, in nanoseconds.
        size: Bytes that it has read; 0 where that is not known.
        cause: Why it failed, in a few words that other failures share: ``status 503``. None means
            that it succeeded.
        message: What else there is to say of this failure; one for each cause is kept as a sample.
        failed_ns: After how long it failed, for its span.

    Raises:
        ScenarioError: `name` cannot be the name of a step, or there is no room for it.
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
    """Count a request that was recorded as one that succeeded as failed, once.

    Its time stays among those that succeeded. What it was is as in `record`.
    """
    outer = open_step()
    if outer is not None:
        outer.inner_failed = True
    one = of(name)
    one.failed_later(cause, message)
    one.whole.failed_later()
