"""Locust's events: hooks that a locustfile listens to, and fires."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from amoc.locust.exceptions import PASSED_ON, NotCarried

_F = TypeVar("_F", bound=Callable[..., object])
_log = logging.getLogger(__name__)


def listeners_of(hook: Any) -> list[Callable[..., object]]:
    """The listeners of an event, of these here or of Locust's own, as the list that it keeps."""
    found: list[Callable[..., object]] = (
        hook.listeners if isinstance(hook, EventHook) else hook._handlers
    )
    return found


def all_listeners(events: Any) -> dict[str, list[Callable[..., object]]]:
    """The listeners of all events by now."""
    return {name: [*listeners_of(hook)] for name, hook in vars(events).items()}


def only(events: Any, listeners: dict[str, list[Callable[..., object]]]) -> None:
    """Let events have these listeners, as `all_listeners` found them, and no others."""
    for name, hook in vars(events).items():
        listeners_of(hook)[:] = listeners.get(name, [])


class EventHook:
    """One event.

    Attributes:
        listeners: Called in this order when it is fired.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[..., object]] = []

    def add_listener(self, listener: _F) -> _F:
        """Have `listener` called; also used as a decorator."""
        self.listeners.append(listener)
        return listener

    def remove_listener(self, listener: Callable[..., object]) -> None:
        """Have `listener` called no more.

        Raises:
            ValueError: It is not called now.
        """
        self.listeners.remove(listener)

    def fire(self, *, reverse: bool = False, **details: Any) -> None:
        """Call all listeners; what one raises is logged, and the others are called all the same."""
        listeners = tuple(self.listeners)
        for listener in reversed(listeners) if reverse else listeners:
            try:
                listener(**details)
            except PASSED_ON:
                raise
            except Exception as error:
                _log.exception(
                    "%s, which listens to an event of Locust's, raised %s",
                    getattr(listener, "__qualname__", type(listener).__name__),
                    type(error).__name__,
                    extra={"tell": True},
                )

    @contextmanager
    def measure(
        self, request_type: str, name: str, response_length: int = 0, context: Any = None
    ) -> Iterator[dict[str, Any]]:
        """Fire the event `request` for what the block does: its time, and what it raises.

        The block gets the event's details, and may change them.
        """
        details: dict[str, Any] = {
            "request_type": request_type,
            "name": name,
            "response_length": response_length,
            "context": context or {},
            "exception": None,
            "start_time": time.time(),
        }
        begun = time.perf_counter()
        try:
            yield details
        except Exception as error:
            details["exception"] = error
        finally:
            details["response_time"] = (time.perf_counter() - begun) * 1000
            self.fire(**details)


FIRED = (
    *("init", "init_command_line_parser", "quit", "quitting", "request", "spawning_complete"),
    *("test_start", "test_stop", "test_stopping", "user_error"),
)
NEVER_FIRED = (
    *("cpu_warning", "heartbeat_received", "heartbeat_sent", "report_to_master", "reset_stats"),
    *("usage_monitor", "worker_connect", "worker_report"),
)
"""Events of what only Locust has: its master and workers, its web page."""


class Events:
    """All events."""

    init: EventHook
    init_command_line_parser: EventHook
    quit: EventHook
    quitting: EventHook
    request: EventHook
    spawning_complete: EventHook
    test_start: EventHook
    test_stop: EventHook
    test_stopping: EventHook
    user_error: EventHook

    def __init__(self) -> None:
        for name in (*FIRED, *NEVER_FIRED):
            setattr(self, name, EventHook())

    def __getattr__(self, name: str) -> EventHook:
        raise NotCarried(f"events.{name}")

    def heard_in_vain(self) -> list[str]:
        """The events that have listeners, and are never fired."""
        return [name for name in NEVER_FIRED if getattr(self, name).listeners]
