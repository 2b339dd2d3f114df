"""Locust's events: hooks with listeners."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict, TypeVar

from amoc.locust.exceptions import PASSED_ON, Carried

if TYPE_CHECKING:
    from amoc.locust.response import Response

_F = TypeVar("_F", bound=Callable[..., object])
_log = logging.getLogger(__name__)


class _Theirs(Protocol):
    """An event of Locust itself."""

    _handlers: list[Callable[..., object]]


class RequestDetails(TypedDict):
    """Details of the event `request`: its listeners are called with these by name."""

    request_type: str
    name: str
    response_length: int
    context: Mapping[str, object]
    exception: Exception | None
    start_time: float
    """In seconds since 1970."""
    response_time: NotRequired[float]
    """In milliseconds."""
    response: NotRequired[Response]
    url: NotRequired[str]


def listeners_of(hook: EventHook | _Theirs) -> list[Callable[..., object]]:
    """Return the mutable list of an event's listeners, for amoc's and for Locust's events."""
    return hook.listeners if isinstance(hook, EventHook) else hook._handlers


def all_listeners(events: object) -> dict[str, list[Callable[..., object]]]:
    """Return the current listeners of all events."""
    return {name: [*listeners_of(hook)] for name, hook in vars(events).items()}


def only(events: object, listeners: dict[str, list[Callable[..., object]]]) -> None:
    """Restore the listeners of all events to a result of `all_listeners`."""
    for name, hook in vars(events).items():
        listeners_of(hook)[:] = listeners.get(name, [])


class EventHook:
    """One event.

    Attributes:
        listeners: Called in this order when the event is fired.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[..., object]] = []

    def add_listener(self, listener: _F) -> _F:
        """Add a listener; can be used as a decorator."""
        self.listeners.append(listener)
        return listener

    def remove_listener(self, listener: Callable[..., object]) -> None:
        """Remove a listener.

        Raises:
            ValueError: It is not a listener of this event.
        """
        self.listeners.remove(listener)

    def fire(self, *, reverse: bool = False, **details: object) -> None:
        """Call all listeners. Exceptions are logged, and do not prevent calls of the others."""
        listeners = tuple(self.listeners)
        for listener in reversed(listeners) if reverse else listeners:
            try:
                listener(**details)
            except PASSED_ON:
                raise
            except Exception as error:
                _log.exception(
                    "%s, a listener of a Locust event, raised %s",
                    getattr(listener, "__qualname__", type(listener).__name__),
                    type(error).__name__,
                    extra={"tell": True},
                )

    @contextmanager
    def measure(
        self,
        request_type: str,
        name: str,
        response_length: int = 0,
        context: Mapping[str, object] | None = None,
    ) -> Iterator[RequestDetails]:
        """Fire the event `request` for the block, with its duration and its exception.

        Yields the details of the event, which the block may change.
        """
        details: RequestDetails = {
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
"""Events of Locust's own features: its master and workers, and its web page."""


class Events(Carried):
    """All events."""

    _called = "events"
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

    def never_fired_with_listeners(self) -> list[str]:
        """Return the events that have listeners but are never fired."""
        return [name for name in NEVER_FIRED if getattr(self, name).listeners]
