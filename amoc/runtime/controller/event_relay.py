"""Sends the controller's events to workers in which the scenario subscribes to them.

Only events with subscribers are sent. Events before users may start, such as `throttle.init` of a
throttle that init() starts, are kept for workers that have yet to start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from amoc.ipc.messages.events import ControllerEvent
from amoc.ipc.worker_id import WorkerId
from amoc.scenario import events

MAX_KEPT = 1_000
"""Most events kept for workers that have yet to start."""


class EventRelay:
    """Subscribes in the controller on behalf of all workers."""

    def __init__(self, send: Callable[[WorkerId, ControllerEvent], None]) -> None:
        """Start to keep events; `send` sends an event to a worker."""
        self._send = send
        self._workers: set[WorkerId] = set()
        self._kept: list[ControllerEvent] | None = []
        self._known = False  # whether the subscriptions are known; nothing is sent before
        events.on(*events.RELAYED)(self._relay)

    def want(self, names: Collection[str]) -> None:
        """Restrict the relay to `names`, the events the scenario subscribes to."""
        events.off(self._relay)
        if names:
            events.on(*names)(self._relay)
        self._kept = [one for one in self._kept or () if one.name in names]
        self._known = True
        for origin in self._workers:
            self._send_kept(origin)

    def worker_up(self, origin: WorkerId) -> None:
        """Add a worker, and send it the kept events."""
        self._workers.add(origin)
        if self._known:
            self._send_kept(origin)

    def _send_kept(self, origin: WorkerId) -> None:
        for one in self._kept or ():
            self._send(origin, one)

    def worker_lost(self, origin: WorkerId) -> None:
        """Remove a worker."""
        self._workers.discard(origin)

    def begin(self) -> None:
        """Drop the kept events: a worker that starts from now on replaces one that got them."""
        self._kept = None

    def end(self) -> None:
        """Stop relaying events."""
        events.off(self._relay)

    def _relay(self, event: events.Event) -> None:
        message = ControllerEvent(event.name, event.at_ns, dict(event.data))
        if self._kept is not None and len(self._kept) < MAX_KEPT:
            self._kept.append(message)
        for origin in self._workers if self._known else ():
            self._send(origin, message)
