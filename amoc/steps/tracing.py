"""Spans: what each step of a sampled trace was, and when, for backends of traces.

A trace is an execution of a step that is in no other, with all those within it. Whether it is
sampled is decided when it begins; requests tell the target by the header ``traceparent`` (W3C Trace
Context), also where it is not, so that the target samples the same traces.

What libraries record when it is over (`amoc.steps.recorder`), as that for XMPP does, is a span of
the step that it is in.

Nothing of this costs anything until a worker calls `begin`, which lets steps be `TracedStep`.
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
        parent_id: That of the step around it; 0 if there is none.
        begin_ns, end_ns: Since 1970.
        cause: Why it has failed; empty if it has not.
        user: The id of the user; 0 where none is known.
        attributes: Of a request; empty of other steps.
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
    """Which traces are sampled, and who gets their spans."""

    def __init__(self, ratio: float, take: Callable[[Span], None]) -> None:
        self.take = take
        self._ratio = ratio
        # Users' own generators stay as they are: a run with spans does the same as one without.
        self._draw = random.Random(random.SystemRandom().getrandbits(128))

    def is_sampled(self) -> bool:
        return self._draw.random() < self._ratio

    def new_id(self, bits: int) -> int:
        """Not 0, which means none."""
        return self._draw.getrandbits(bits) or 1


_tracer = _Tracer(0.0, lambda _: None)


class TracedStep(Step):
    """A step with a span.

    Attributes:
        trace_id, span_id: Of the span.
        is_sampled: Whether the trace is.
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
        """What a request within it says of its trace."""
        flags = _SAMPLED if self.is_sampled else _NOT_SAMPLED
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{flags}"

    def describe(self, attributes: Mapping[str, str | int]) -> None:
        """Say what its span is about."""
        if self.is_sampled:
            self._attributes.update(attributes)


def recorded(name: str, ns: int, cause: str = "", message: str = "", outer: object = None) -> None:
    """Take the span of something that is over, within the step `outer` or a trace by itself."""
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
    """Record spans in this process from now on.

    Args:
        ratio: Which share of traces is sampled, from 0 to 1.
        take: Called with each span of those; must neither block nor raise.
    """
    global _tracer
    _tracer = _Tracer(ratio, take)
    api.made, recorder.observer = TracedStep, recorded
    stopwatch.look()  # requests are steps then


def is_on() -> bool:
    """Whether spans are recorded in this process."""
    return api.made is TracedStep


def end() -> None:
    """The opposite of `begin`, for tests."""
    global _tracer
    _tracer = _Tracer(0.0, lambda _: None)
    api.made, recorder.observer = Step, None
