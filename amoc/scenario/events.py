"""What happens in a run, for whoever wants to hear of it.

    from amoc import events

    @events.on("throttle.execute")                  # or "throttle.*"
    def passed(event):
        print(event.name, event.at_ns, event.user_id, event.data["throttle"])

Subscribers are called where it happens, in the process and at the moment: in a worker for its
users, in the controller for what it decides, in the supervisor for init() and terminate(). A
scenario is heard in the supervisor and in the workers, which inherit its subscriptions through the
fork; a plugin (`amoc.plugins`) in the controller too.

They must be quick and must not wait, for many are called inside the event loop. One that raises,
whatever it is, harms nobody: it is logged, and the operator is told, as all that repeats, with a
count. All who are called get the same event, so what is in it cannot be changed.

Where nobody listens an event costs a look at an attribute. So whoever emits one writes
``if EXECUTE.heard: EXECUTE(user_id, throttle=name)``.
"""

from __future__ import annotations

import difflib
import fnmatch
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from amoc.base.clock import now_ns
from amoc.base.errors import ScenarioError
from amoc.scenario.kills import is_kill

__all__ = ["Event", "Signal", "off", "on"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something has happened.

    Attributes:
        name: What, ``throttle.execute`` for example.
        at_ns: When, on the host's monotonic clock.
        process: Where: ``controller``, ``supervisor``, ``worker-3``; empty outside of a run.
        user_id: Whose doing it was, where it was a user's.
        data: What there is to know, by name; see docs/events.md. It cannot be changed.
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
        name: The events'.
        keys: What is in their `data`.
        heard: Who is called; nobody listens when it is empty.
    """

    __slots__ = ("heard", "keys", "name")

    def __init__(self, name: str, *keys: str) -> None:
        self.name = name
        self.keys = keys
        self.heard: tuple[Subscriber, ...] = ()

    def __repr__(self) -> str:
        return f"<signal {self.name}, heard by {len(self.heard)}>"

    def __call__(self, user_id: int | None = None, /, **data: Any) -> None:
        """It has happened, with `data`, by the doing of a user if one is given."""
        event = Event(self.name, now_ns(), _process, user_id, MappingProxyType(data))
        for subscriber in self.heard:
            try:
                subscriber(event)
            except BaseException as error:  # a time-out of its own, say, inside the event loop
                if is_kill(error):
                    raise
                _complain(subscriber, event, error)


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
    """Have a function called when something happens; to be used as a decorator.

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
                f"what is called on {', '.join(patterns)} must be a function, got {subscriber!r}"
            )
        for signal in signals:
            if subscriber not in signal.heard:
                signal.heard = (*signal.heard, subscriber)
        return subscriber

    return subscribe


def off(subscriber: Subscriber) -> None:
    """Have a function called no more, whatever it was called on."""
    for signal in SIGNALS.values():
        # By equality: each look at a method of an object makes a new one.
        signal.heard = tuple(one for one in signal.heard if one != subscriber)


def _matching(pattern: str) -> list[Signal]:
    found = [signal for name, signal in SIGNALS.items() if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, SIGNALS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(SIGNALS)}"
        raise ScenarioError(f"an event must be a known one, got {pattern!r}{hint}")
    return found


def happen_in(process: str) -> None:
    """Let events of this process say that they happen in `process`."""
    global _process
    _process = process


@contextmanager
def span(start: Signal, stop: Signal) -> Iterator[None]:
    """Emit `start`, and `stop` at the end of the block, with how long it took and what it raised.

    `stop` has a `duration_ns` and an `error`, empty when nothing was raised.
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
