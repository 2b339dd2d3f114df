"""``step()``: a part of what a user does, with a name that people read in the results."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any, Self, TypeVar, overload

from gevent import getcurrent
from greenlet import GreenletExit

from amoc.base.errors import ScenarioError
from amoc.base.guard import Ended
from amoc.base.pause import own_paused_ns
from amoc.base.tracebacks import message_of
from amoc.metrics import registry, stopwatch
from amoc.metrics.handles import Timer
from amoc.metrics.step_names import group_of
from amoc.metrics.stopwatch import ThrottledStopwatch
from amoc.steps import recorder
from amoc.steps.recorder import Recorder

F = TypeVar("F", bound=Callable[..., Any])
Expected = type[BaseException] | tuple[type[BaseException], ...]


class Step(ThrottledStopwatch):
    """One execution of a step: a block, or a call of a function.

    Attributes:
        has_inner: Whether another step was executed within it.
        inner_failed: Whether one of those has failed.
        outer: The step that it is in.
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

    def __enter__(self) -> Self:  # type: ignore[override] # a stopwatch is nothing to talk to
        whose: Any = getcurrent()
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
        """Let this execution count as failed; the block goes on.

        Args:
            cause: Why, in a few words that other failures share: ``payment refused``. The first
                one counts.
            details: What else there is to say of this one; one for each cause is shown.
        """
        if self._cause is None:
            self._cause, self._message = cause, details

    def read(self, size: int) -> None:
        """Count `size` bytes as read within this step."""
        self._size += size

    @property
    def traceparent(self) -> str:
        """What a request within it says of its trace; empty unless spans are recorded."""
        return ""

    def describe(self, attributes: Mapping[str, str | int]) -> None:
        """Say what its span is about: it is a request's. Nothing unless spans are recorded."""

    @property
    def failed(self) -> bool:
        """Whether it counts as failed by now."""
        return self._cause is not None

    def __call__(self, function: F) -> F:
        """`function`, each call of which is an execution of this step.

        Raises:
            ScenarioError: It is one that returns before it has done its work.
        """
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ScenarioError(
                f"step {self._recorder.name!r} cannot be {function.__name__}(), which is a"
                " generator or coroutine function: use `with step(…)` in it"
            )
        of, expected = self._recorder, self._expected

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with made(of, expected):
                return function(*arguments, **named)

        return call  # type: ignore[return-value]

    def __exit__(  # type: ignore[override] # it may swallow
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
        """Count an execution that has failed, unless it only ends with its greenlet."""
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
"""What `step` makes; another class where spans are recorded, see `amoc.steps.tracing`."""


def is_end(error: BaseException) -> bool:
    """Whether a greenlet ends, and has not failed."""
    return isinstance(error, GreenletExit) or (isinstance(error, Ended) and error.is_meant())


@overload
def step(name: F) -> F: ...
@overload
def step(name: str, *, group: str = "", expected: Expected = ()) -> Step: ...
def step(name: str | F, *, group: str = "", expected: Expected = ()) -> Step | F:
    """A step of what a user does: counted, timed, and listed with its failures by cause.

        with step("login"):
            ...

        with step("pay", expected=TimeoutError) as this:
            if refused(order):
                this.fail("payment refused")

        @step
        def browse(shop): ...

    What is raised in the block and leaves it makes the step fail, by its class; so does a failed
    `check`, and `fail`. Steps may be within steps, see `amoc.steps.recorder`.

    Args:
        name: Any text, of a limited number of kinds: ``GET /item/[id]``. As a decorator without a
            name, the function's.
        group: What the step belongs to; it is listed as ``GROUP: NAME``.
        expected: Exceptions that end the block and the step, but not the user: they go no further.

    Raises:
        ScenarioError: It cannot be the name of a metric, or there is no room for it.
    """
    if isinstance(name, str):
        if group:
            name = group_of(name, group)
        return made(registry.current.composed.get(name) or recorder.of(name), expected)
    if callable(name):
        return Step(recorder.of(name.__name__))(name)
    raise ScenarioError(f"the name of a step must be text, got {name!r}")
