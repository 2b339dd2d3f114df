"""Events of a run, and subscribing to them.

    from amoc import events

    @events.on("throttle.execute")                  # or "throttle.*"
    def passed(event):
        print(event.name, event.at_ns, event.user_id, event.data["throttle"])

Subscribers are called synchronously in the process where the event happens: in a worker for its
users, in the controller for its decisions, in the supervisor for init() and terminate(). A
scenario's subscribers are called in the supervisor and in the workers, which inherit them through
the fork; a plugin's (`amoc.plugins`) in the controller too.

They must be quick and must not block, since many are called inside the event loop. One that raises
affects nobody else: it is logged, and reported to the operator, with a count when it repeats. All
subscribers get the same event, so its data is read-only.

An event that nobody subscribes to costs one attribute access, so it is emitted with
``if EXECUTE.heard: EXECUTE(user_id, throttle=name)``.
"""

from __future__ import annotations

import difflib
import fnmatch
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from amoc.base import guard
from amoc.base.clock import now_ns
from amoc.base.errors import ScenarioError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: Such as ``throttle.execute``.
        at_ns: When it happened, on the host's monotonic clock.
        process: Where: ``controller``, ``supervisor``, ``worker-3``; empty outside a run.
        user_id: The user that caused it, if one did.
        data: Details by name, read-only; see docs/events.md.
    """

    name: str
    at_ns: int
    process: str
    user_id: int | None
    data: Mapping[str, Any]


Subscriber = Callable[[Event], object]
_S = TypeVar("_S", bound=Subscriber)

_process = ""


class Signal:
    """One kind of event.

    Attributes:
        name: Of its events.
        keys: The names in their `data`.
        heard: Its subscribers.
    """

    __slots__ = ("heard", "keys", "name")

    def __init__(self, name: str, *keys: str) -> None:
        self.name = name
        self.keys = keys
        self.heard: tuple[Subscriber, ...] = ()

    def __repr__(self) -> str:
        return f"<signal {self.name}, heard by {len(self.heard)}>"

    def __call__(self, user_id: int | None = None, /, **data: Any) -> None:
        """Emit an event with `data`, caused by a user if one is given."""
        event = Event(self.name, now_ns(), _process, user_id, MappingProxyType(data))
        for subscriber in self.heard:
            guard.call(partial(_complain, subscriber, event), subscriber, event)


def _complain(subscriber: Subscriber, event: Event, error: BaseException) -> None:
    name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
    _log.error(
        "%s, which is called on %s, raised %s",
        f"{getattr(subscriber, '__module__', '')}.{name}",
        event.name,
        type(error).__name__,
        exc_info=error,
        extra={"tell": True},
    )


SIGNALS: dict[str, Signal] = {}
"""All kinds of events, by name."""


def _signal(name: str, *keys: str) -> Signal:
    SIGNALS[name] = signal = Signal(name, *keys)
    return signal


RUN_START = _signal("run.start", "run_id", "scenario", "directory")
RUN_STOP = _signal("run.stop", "run_id", "verdict", "exit_code")
NODE_UP = _signal("node.up", "node")
NODE_DOWN = _signal("node.down", "node", "reason")
WORKER_UP = _signal("worker.up", "node", "worker", "incarnation", "pid")
WORKER_DOWN = _signal("worker.down", "node", "worker", "incarnation", "reason")
INIT_START = _signal("init.start")
INIT_STOP = _signal("init.stop", "duration_ns", "error")
TERMINATE_START = _signal("terminate.start")
TERMINATE_STOP = _signal("terminate.stop", "duration_ns", "error")
USER_ADDED = _signal("user.added", "again")
USER_REMOVED = _signal("user.removed", "how", "iterations")
SETTINGS_CHANGED = _signal("settings.changed", "changed")
THROTTLE_INIT = _signal("throttle.init", "throttle", "rate", "interval_s")
THROTTLE_RATE = _signal("throttle.rate", "throttle", "rate", "interval_s", "mode", "plan")
THROTTLE_REQUEST = _signal("throttle.request", "throttle", "waiting")
THROTTLE_EXECUTE = _signal("throttle.execute", "throttle", "late_ns")
THROTTLE_STOP = _signal("throttle.stop", "throttle")
COORDINATOR_START = _signal("coordinator.start", "coordinator", "sizes", "timeout_s", "scope")
COORDINATOR_ADD = _signal("coordinator.add", "coordinator")
COORDINATOR_EXECUTE = _signal("coordinator.execute", "coordinator", "item", "kind", "size")
COORDINATOR_TIMEOUT = _signal("coordinator.timeout", "coordinator", "groups")
COORDINATOR_RESET = _signal("coordinator.reset", "coordinator")
COORDINATOR_STOP = _signal("coordinator.stop", "coordinator")


def on(*patterns: str) -> Callable[[_S], _S]:
    """Decorate a function to be called on events.

    Args:
        patterns: Names of events; ``*`` stands for any text, as in ``throttle.*``.

    Raises:
        ScenarioError: There is no such event.
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
            if subscriber not in signal.heard:
                signal.heard = (*signal.heard, subscriber)
        return subscriber

    return subscribe


def off(subscriber: Subscriber) -> None:
    """Unsubscribe a function from all events."""
    for signal in SIGNALS.values():
        # By equality: each access to a bound method makes a new object.
        signal.heard = tuple(one for one in signal.heard if one != subscriber)


def _matching(pattern: str) -> list[Signal]:
    found = [signal for name, signal in SIGNALS.items() if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, SIGNALS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(SIGNALS)}"
        raise ScenarioError(f"no event matches {pattern!r}{hint}")
    return found


def happen_in(process: str) -> None:
    """Set the `process` of this process's events."""
    global _process
    _process = process


@contextmanager
def span(start: Signal, stop: Signal) -> Iterator[None]:
    """Emit `start` before the block and `stop` after it.

    `stop` has the block's `duration_ns`, and the `error` that it raised or an empty text.
    """
    if start.heard:
        start()
    begun_ns, error = now_ns(), ""
    try:
        yield
    except BaseException as raised:
        error = " ".join(str(raised).split()) or type(raised).__name__
        raise
    finally:
        if stop.heard:
            stop(duration_ns=now_ns() - begun_ns, error=error)
