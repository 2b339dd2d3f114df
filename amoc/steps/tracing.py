"""Spans of the steps of sampled traces, for tracing backends.

A trace is an execution of an outermost step with all steps nested in it. Whether to sample it is
decided when it begins. Requests carry the decision to the target in the ``traceparent`` header (W3C
Trace Context), even if it is not to sample, so that the target samples the same traces.

Requests that a library records when they end (`amoc.steps.recorder`), such as those of XMPP, become
spans of the enclosing step.

There is no overhead until a worker calls `begin`, which makes new steps `TracedStep`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Self

from gevent import getcurrent

from amoc.metrics import stopwatch
from amoc.steps import api, recorder
from amoc.steps.api import Expected, Step
from amoc.steps.recorder import Recorder

_SAMPLED: Final = "01"
_NOT_SAMPLED: Final = "00"


class Span(NamedTuple):
    """An execution of a step.

    Attributes:
        trace_id: 128 bits.
        span_id: 64 bits.
        parent_id: The span id of the enclosing step; 0 if there is none.
        begin_ns, end_ns: Nanoseconds since 1970.
        cause: Why it failed; empty if it succeeded.
        user: The id of the user; 0 if unknown.
        attributes: Attributes of a request; empty for other steps.
    """

    trace_id: int
    span_id: int
    parent_id: int
    name: str
    begin_ns: int
    end_ns: int
    cause: str
    message: str
    user: int
    attributes: dict[str, str | int]


class _Tracer:
    """The sampling decision, and the receiver of spans."""

    def __init__(self, ratio: float, take: Callable[[Span], None]) -> None:
        self.take = take
        self._ratio = ratio
        # Separate from the users' generators, so that spans do not change what a run does.
        self._draw = random.Random(random.SystemRandom().getrandbits(128))

    def is_sampled(self) -> bool:
        return self._draw.random() < self._ratio

    def new_id(self, bits: int) -> int:
        """Return a random id other than 0, which means none."""
        return self._draw.getrandbits(bits) or 1


_tracer = _Tracer(0.0, lambda _: None)


class TracedStep(Step):
    """A step with a span.

    Attributes:
        trace_id, span_id: The ids of its span.
        is_sampled: Whether its trace is sampled.
    """

    trace_id: int
    span_id: int
    is_sampled: bool

    __slots__ = ("_attributes", "_begin_ns", "_parent_id", "is_sampled", "span_id", "trace_id")

    def __init__(self, of: Recorder, expected: Expected = ()) -> None:
        super().__init__(of, expected)
        self._attributes: dict[str, str | int] = {}

    def __enter__(self) -> Self:  # type: ignore[override] # as the step's
        super().__enter__()
        outer = self.outer
        if isinstance(outer, TracedStep):
            self.trace_id, self.is_sampled = outer.trace_id, outer.is_sampled
            self._parent_id = outer.span_id
        else:
            self.trace_id, self.is_sampled = _tracer.new_id(128), _tracer.is_sampled()
            self._parent_id = 0
        self.span_id = _tracer.new_id(64)
        self._begin_ns = time.time_ns() if self.is_sampled else 0
        return self

    def __exit__(  # type: ignore[override] # as the step's
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        swallows = super().__exit__(kind, error, trace)
        if self.is_sampled and not (error is not None and api.is_end(error)):
            _tracer.take(
                Span(
                    self.trace_id,
                    self.span_id,
                    self._parent_id,
                    self._recorder.name,
                    self._begin_ns,
                    time.time_ns(),
                    self._cause or "",
                    self._message,
                    getattr(self._whose, "id", 0),
                    self._attributes,
                )
            )
        return swallows

    @property
    def traceparent(self) -> str:
        """The ``traceparent`` header for requests within it."""
        flags = _SAMPLED if self.is_sampled else _NOT_SAMPLED
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{flags}"

    def describe(self, attributes: Mapping[str, str | int]) -> None:
        """Add attributes to its span."""
        if self.is_sampled:
            self._attributes.update(attributes)


def recorded(name: str, ns: int, cause: str = "", message: str = "", outer: object = None) -> None:
    """Emit the span of a completed request, in the step `outer` or as a trace of its own."""
    if isinstance(outer, TracedStep):
        trace_id, parent_id, is_sampled = outer.trace_id, outer.span_id, outer.is_sampled
    else:
        trace_id, parent_id, is_sampled = 0, 0, _tracer.is_sampled()
    if not is_sampled:
        return
    end_ns = time.time_ns()
    _tracer.take(
        Span(
            trace_id or _tracer.new_id(128),
            _tracer.new_id(64),
            parent_id,
            name,
            end_ns - ns,
            end_ns,
            cause,
            message,
            getattr(getcurrent(), "id", 0),
            {},
        )
    )


def begin(ratio: float, take: Callable[[Span], None]) -> None:
    """Start recording spans in this process.

    Args:
        ratio: The share of traces to sample, from 0 to 1.
        take: Called with each span of a sampled trace; must neither block nor raise.
    """
    global _tracer
    _tracer = _Tracer(ratio, take)
    api.made, recorder.observer = TracedStep, recorded
    stopwatch.watch_for_tokens()  # requests now use steps


def is_on() -> bool:
    """Return whether spans are recorded in this process."""
    return api.made is TracedStep


def end() -> None:
    """Stop recording spans, for tests."""
    global _tracer
    _tracer = _Tracer(0.0, lambda _: None)
    api.made, recorder.observer = Step, None
