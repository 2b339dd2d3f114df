"""Events of a run, and subscriptions to them.

    from amoc import events

    @events.on("throttle.execute")                  # or "throttle.*"
    def passed(event):
        print(event.name, event.at_ns, event.user_id, event.data["throttle"])

Subscribers are called synchronously in the process where the event happens: in a worker for its
users, in the controller for its decisions, in the supervisor for init() and terminate(). A
scenario's subscribers are called in the supervisor and in the workers, which inherit them through
the fork; events of the controller are delivered to each worker. Subscribers of plugins
(`amoc.plugins`) are called in the controller too.

Subscribers must be fast and must not block, since many are called inside the event loop. An
exception in one does not affect others: it is logged and reported to the operator, with a count if
it repeats. All subscribers get the same event, so its data is read-only.

An event without subscribers costs a single attribute access where that matters, since it is emitted
with ``if EXECUTE.subscribers: EXECUTE(user_id, throttle=name)``.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from amoc.base import context, guard
from amoc.base.clock import now_ns
from amoc.base.errors import ScenarioError
from amoc.base.text import nearest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: Such as ``throttle.execute``.
        at_ns: When it happened, on the host's monotonic clock.
        process: ``controller``, ``supervisor``, ``worker-3``; empty outside a run.
        user_id: The user that caused it, if any.
        data: Details by name, read-only; see docs/events.md.
    """

    name: str
    at_ns: int
    process: str
    user_id: int | None
    data: Mapping[str, Any]  # Any: the name of the event says what it contains


Subscriber = Callable[[Event], object]
_S = TypeVar("_S", bound=Subscriber)


class Where(Enum):
    """The kind of process where an event happens."""

    CONTROLLER = "controller"
    SUPERVISOR = "supervisor"
    WORKER = "worker"


class Signal:
    """One kind of event.

    Attributes:
        name: The name of its events.
        keys: The keys of their `data`.
        where: The kind of process where they happen.
        subscribers: The functions to call.
    """

    __slots__ = ("keys", "name", "subscribers", "where")

    def __init__(self, name: str, *keys: str, where: Where) -> None:
        self.name = name
        self.keys = keys
        self.where = where
        self.subscribers: tuple[Subscriber, ...] = ()

    def __repr__(self) -> str:
        return f"<signal {self.name}, {len(self.subscribers)} subscribers>"

    def __call__(self, user_id: int | None = None, /, **data: object) -> None:
        """Emit an event with `data`, caused by user `user_id` if given."""
        if self.subscribers:
            process = context.active().process
            self.call(Event(self.name, now_ns(), process, user_id, MappingProxyType(data)))

    def call(self, event: Event) -> None:
        """Call the subscribers."""
        for subscriber in self.subscribers:
            guard.call(partial(_complain, subscriber, event), subscriber, event)


def _complain(subscriber: Subscriber, event: Event, error: BaseException) -> None:
    name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
    _log.error(
        "%s, a subscriber of %s, raised %s",
        f"{getattr(subscriber, '__module__', '')}.{name}",
        event.name,
        type(error).__name__,
        exc_info=error,
        extra={"tell": True},
    )


SIGNALS: dict[str, Signal] = {}
"""All kinds of events by name."""


def _signal(name: str, *keys: str, where: Where = Where.WORKER) -> Signal:
    SIGNALS[name] = signal = Signal(name, *keys, where=where)
    return signal


_CONTROLLER, _SUPERVISOR = Where.CONTROLLER, Where.SUPERVISOR


RUN_START = _signal("run.start", "run_id", "scenario", "directory", where=_CONTROLLER)
RUN_STOP = _signal("run.stop", "run_id", "verdict", "exit_code", where=_CONTROLLER)
NODE_UP = _signal("node.up", "node", where=_CONTROLLER)
NODE_DOWN = _signal("node.down", "node", "reason", where=_CONTROLLER)
WORKER_UP = _signal("worker.up", "node", "worker", "incarnation", "pid", where=_CONTROLLER)
WORKER_DOWN = _signal("worker.down", "node", "worker", "incarnation", "reason", where=_CONTROLLER)
INIT_START = _signal("init.start", where=_SUPERVISOR)
INIT_STOP = _signal("init.stop", "duration_ns", "error", where=_SUPERVISOR)
TERMINATE_START = _signal("terminate.start", where=_SUPERVISOR)
TERMINATE_STOP = _signal("terminate.stop", "duration_ns", "error", where=_SUPERVISOR)
ITERATION_START = _signal("iteration.start", "iteration")
ITERATION_STOP = _signal("iteration.stop", "iteration", "duration_ns", "error", "exception")
USER_ADDED = _signal("user.added", "again")
USER_REMOVED = _signal("user.removed", "how", "iterations")
USER_CRASHED = _signal("user.crashed", "cause", "exception")
SETTINGS_CHANGED = _signal("settings.changed", "changed")
THROTTLE_INIT = _signal("throttle.init", "throttle", "rate", "interval_s", where=_CONTROLLER)
THROTTLE_RATE = _signal(
    "throttle.rate", "throttle", "rate", "interval_s", "mode", "plan", where=_CONTROLLER
)
THROTTLE_REQUEST = _signal("throttle.request", "throttle", "waiting")
THROTTLE_EXECUTE = _signal("throttle.execute", "throttle", "late_ns")
THROTTLE_STOP = _signal("throttle.stop", "throttle", where=_CONTROLLER)
COORDINATOR_START = _signal(
    "coordinator.start", "coordinator", "sizes", "timeout_s", "scope", where=_CONTROLLER
)
COORDINATOR_ADD = _signal("coordinator.add", "coordinator")
COORDINATOR_EXECUTE = _signal("coordinator.execute", "coordinator", "item", "kind", "size")
COORDINATOR_TIMEOUT = _signal("coordinator.timeout", "coordinator", "groups", where=_CONTROLLER)
COORDINATOR_RESET = _signal("coordinator.reset", "coordinator", where=_CONTROLLER)
COORDINATOR_STOP = _signal("coordinator.stop", "coordinator", where=_CONTROLLER)

_NOT_FOR_WORKERS = frozenset({"run.stop", "node.up", "node.down"})
"""Events of the controller at times when there is no worker."""
RELAYED = tuple(
    name
    for name, signal in SIGNALS.items()
    if signal.where is Where.CONTROLLER and name not in _NOT_FOR_WORKERS
)
"""Events of the controller that are delivered to a scenario's subscribers."""


def begin_scenario() -> None:
    """Treat further subscriptions in this supervisor as the scenario's.

    Drops plugins' subscriptions to the controller's events: they get those in the controller, and
    must not get them in each worker as well.
    """
    context.active().is_scenario = True
    for name in (*RELAYED, *_NOT_FOR_WORKERS):
        SIGNALS[name].subscribers = ()


def relayed() -> list[str]:
    """Return the controller's events that the scenario has subscribed to; for the supervisor."""
    return [name for name in RELAYED if SIGNALS[name].subscribers]


def deliver(name: str, at_ns: int, data: Mapping[str, object]) -> None:
    """Deliver an event of the controller to subscribers in this worker."""
    SIGNALS[name].call(Event(name, at_ns, Where.CONTROLLER.value, None, MappingProxyType(data)))


def _cannot_fire(signal: Signal) -> str:
    """Return why such events never reach a subscriber added here and now; empty if they do."""
    here = context.active()
    if not here.is_scenario:
        return ""
    if signal.name in _NOT_FOR_WORKERS:
        return "it happens when there are no workers; subscribe to it in a plugin"
    elsewhere = signal.where is not Where.WORKER
    is_late = signal.where is Where.SUPERVISOR or not signal.subscribers
    if elsewhere and is_late and here.process.startswith(Where.WORKER.value):
        return (
            f"it happens in the {signal.where.value}; subscribe to it at the top level of a module"
            " or in init()"
        )
    return ""


def on(*patterns: str) -> Callable[[_S], _S]:
    """Decorate a function to be called on events.

    Args:
        patterns: Names of events; ``*`` matches any text, as in ``throttle.*``.

    Raises:
        ScenarioError: There is no such event, or it never reaches a subscriber here.
    """
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ScenarioError('events.on must be given names, as in @events.on("user.added")')
    signals = [signal for pattern in patterns for signal in _matching(pattern)]

    def subscribe(subscriber: _S) -> _S:
        if not callable(subscriber):
            raise ScenarioError(
                f"a subscriber of {', '.join(patterns)} must be a function, got {subscriber!r}"
            )
        for signal in signals:
            if subscriber not in signal.subscribers:
                signal.subscribers = (*signal.subscribers, subscriber)
        return subscriber

    return subscribe


def off(subscriber: Subscriber) -> None:
    """Unsubscribe a function from all events."""
    for signal in SIGNALS.values():
        # By equality, since each access to a bound method creates a new object.
        signal.subscribers = tuple(one for one in signal.subscribers if one != subscriber)


def _matching(pattern: str) -> list[Signal]:
    if pattern in SIGNALS:
        found = [SIGNALS[pattern]]
    else:
        found = [signal for name, signal in SIGNALS.items() if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        near = nearest(pattern, SIGNALS, 0.5)
        hint = f"; did you mean {near}?" if near else f"; known: {', '.join(SIGNALS)}"
        raise ScenarioError(f"no event matches {pattern!r}{hint}")
    reasons = [_cannot_fire(signal) for signal in found]
    if all(reasons):
        raise ScenarioError(f"{pattern} never reaches this subscriber: {reasons[0]}")
    return [signal for signal, reason in zip(found, reasons, strict=True) if not reason]


def happen_in(process: str) -> None:
    """Set the `process` attribute of events that happen in this process."""
    context.active().process = process


@contextmanager
def span(start: Signal, stop: Signal) -> Iterator[None]:
    """Emit `start` before the block and `stop` after it.

    `stop` carries the block's `duration_ns` and the `error` it raised, or an empty text.
    """
    start()
    begun_ns, error = now_ns(), ""
    try:
        yield
    except BaseException as raised:
        error = " ".join(str(raised).split()) or type(raised).__name__
        raise
    finally:
        stop(duration_ns=now_ns() - begun_ns, error=error)
