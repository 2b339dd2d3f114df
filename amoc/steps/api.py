"""``step()``: a named, timed part of a user's iteration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Self, TypeVar, overload

from gevent import getcurrent
from greenlet import GreenletExit

from amoc.base.errors import ScenarioError
from amoc.base.guard import Ended
from amoc.base.pause import AnyGreenlet, own_paused_ns
from amoc.base.tracebacks import message_of
from amoc.metrics import registry, stopwatch
from amoc.metrics.handles import Timer
from amoc.metrics.step_names import group_of
from amoc.metrics.stopwatch import ThrottledStopwatch
from amoc.steps import recorder
from amoc.steps.recorder import Recorder

F = TypeVar("F", bound=Callable[..., object])
Expected = type[BaseException] | tuple[type[BaseException], ...]


class Step(ThrottledStopwatch):
    """One execution of a step: a block, or a call of a function.

    Attributes:
        has_inner: Whether another step was executed within it.
        inner_failed: Whether one of those has failed.
        outer: The enclosing step, if any.
    """

    __slots__ = (
        *("_cause", "_expected", "_message", "_recorder"),
        *("_size", "has_inner", "inner_failed", "outer"),
    )

    def __init__(self, of: Recorder, expected: Expected = ()) -> None:
        self._timer = of.timer
        self._recorder = of
        self._expected = expected
        self._cause: str | None = None
        self._message = ""
        self._size = 0
        self.has_inner = self.inner_failed = False

    def __enter__(self) -> Self:  # type: ignore[override] # a stopwatch returns None
        whose: AnyGreenlet = getcurrent()
        outer: Step | None = getattr(whose, "open_step", None)
        if outer is not None:
            outer.has_inner = True
        self.outer = outer
        whose.open_step = self
        if not recorder.has_opened:
            recorder.has_opened = True
        self._whose, self._token = whose, None
        if stopwatch.throttled:
            self._take_token()
        self._paused_ns = own_paused_ns()
        self._start_ns = perf_counter_ns()
        return self

    def fail(self, cause: str, details: str = "") -> None:
        """Mark this execution as failed; the block continues.

        Args:
            cause: A short reason shared with similar failures: ``payment refused``. Only the first
                one counts.
            details: More about this failure; one sample is shown for each cause.
        """
        if self._cause is None:
            self._cause, self._message = cause, details

    def read(self, size: int) -> None:
        """Count `size` bytes as read within this step."""
        self._size += size

    @property
    def traceparent(self) -> str:
        """The ``traceparent`` header for requests within it; empty unless spans are recorded."""
        return ""

    def describe(self, attributes: Mapping[str, str | int]) -> None:
        """Add attributes of a request to its span; no effect unless spans are recorded."""

    @property
    def failed(self) -> bool:
        """Whether this execution has been marked as failed."""
        return self._cause is not None

    def __call__(self, function: F) -> F:
        """Decorate `function`, so that each call of it is an execution of this step.

        Raises:
            ScenarioError: It is a generator or coroutine function, which returns before its work
                is done.
        """
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ScenarioError(
                f"step {self._recorder.name!r} cannot be {function.__name__}(), which is a"
                " generator or coroutine function: use `with step(…)` in it"
            )
        of, expected = self._recorder, self._expected

        @functools.wraps(function)
        def call(*arguments: object, **named: object) -> object:
            with made(of, expected):
                return function(*arguments, **named)
            return None  # it raised an expected exception

        return call  # type: ignore[return-value]

    def __exit__(  # type: ignore[override] # it may suppress an exception
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        end_ns = perf_counter_ns()
        outer = self._whose.open_step = self.outer
        if self._token is not None:
            self._release()
        if error is None and self._cause is None:
            paused_ns = own_paused_ns()
            ns = end_ns - self._start_ns - paused_ns + self._paused_ns
            self._recorder.succeeded(ns, not self.has_inner)
            if self._token is not None:
                self._respond(end_ns - paused_ns)
        elif not self._failed(error, end_ns):
            return False
        if self.inner_failed and outer is not None:
            outer.inner_failed = True
        if self._size:
            self._recorder.read(self._size, not self.has_inner)
        return error is not None and isinstance(error, self._expected)

    def _responses(self) -> tuple[Timer, ...]:
        own, whole = self._timer, self._recorder.whole.timer
        response = own._response or own.response
        return (response,) if self.has_inner else (response, whole._response or whole.response)

    def _failed(self, error: BaseException | None, end_ns: int) -> bool:
        """Count a failed execution; return False if it only ended with its greenlet."""
        if error is not None:
            if self._cause is None and is_end(error):
                self._cut_short(end_ns)
                return False
            self.fail(type(error).__name__, message_of(error))
        assert self._cause is not None
        self._recorder.failed(self._cause, self._message, not self.has_inner)
        if self.has_inner and not self.inner_failed:
            self._recorder.whole.failed_later()
        self.inner_failed = True
        return True


made: type[Step] = Step
"""The class `step` instantiates; another one if spans are recorded, see `amoc.steps.tracing`."""


def is_end(error: BaseException) -> bool:
    """Return whether `error` ends a greenlet as intended, and is not a failure."""
    return isinstance(error, GreenletExit) or (isinstance(error, Ended) and error.is_intended())


@overload
def step(name: F) -> F: ...
@overload
def step(name: str, *, group: str = "", expected: Expected = ()) -> Step: ...
def step(name: str | F, *, group: str = "", expected: Expected = ()) -> Step | F:
    """Count and time a step of a user's iteration, with its failures by cause.

        with step("login"):
            ...

        with step("pay", expected=TimeoutError) as this:
            if refused(order):
                this.fail("payment refused")

        @step
        def browse(shop): ...

    The step fails if an exception leaves the block, with the exception's class as the cause, or if
    a `check` in it fails or `fail` is called. Steps may be nested, see `amoc.steps.recorder`.

    Args:
        name: Any text with a limited number of values: ``GET /item/[id]``. A decorator without a
            name uses the function's name.
        group: The group of the step, which is listed as ``GROUP: NAME``.
        expected: Exceptions that fail the step and end the block, but do not propagate.

    Raises:
        ScenarioError: It cannot be a metric's name, or the limit on metrics is reached.
    """
    if isinstance(name, str):
        if group:
            name = group_of(name, group)
        return made(registry.current.composed.get(name) or recorder.of(name), expected)
    if callable(name):
        return Step(recorder.of(name.__name__))(name)
    raise ScenarioError(f"the name of a step must be text, got {name!r}")
