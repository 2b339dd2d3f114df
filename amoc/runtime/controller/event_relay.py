"""Delivers events of the controller to those subscribers that a scenario has in its workers.

Only what is subscribed to is sent. What happens before users may start, `throttle.init` of a
throttle that init() starts for example, is kept for the workers that are still to come up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from amoc.ipc.messages.events import ControllerEvent
from amoc.ipc.worker_id import WorkerId
from amoc.scenario import events

MAX_KEPT = 1_000
"""Events that are kept for workers that are still to come up."""


class EventRelay:
    """Subscribes in the controller on behalf of all workers."""

    def __init__(self, send: Callable[[WorkerId, ControllerEvent], None]) -> None:
        """Begin to keep what happens; `send` sends an event to a worker."""
        self._send = send
        self._workers: set[WorkerId] = set()
        self._kept: list[ControllerEvent] | None = []
        self._known = False  # what is wanted; nothing is sent before
        events.on(*events.RELAYED)(self._hear)

    def want(self, names: Collection[str]) -> None:
        """The scenario has subscribed to `names`, and to nothing else."""
        events.off(self._hear)
        if names:
            events.on(*names)(self._hear)
        self._kept = [one for one in self._kept or () if one.name in names]
        self._known = True
        for origin in self._workers:
            self._send_kept(origin)

    def worker_up(self, origin: WorkerId) -> None:
        """A worker is there."""
        self._workers.add(origin)
        if self._known:
            self._send_kept(origin)

    def _send_kept(self, origin: WorkerId) -> None:
        for one in self._kept or ():
            self._send(origin, one)

    def worker_lost(self, origin: WorkerId) -> None:
        """It is no more."""
        self._workers.discard(origin)

    def begin(self) -> None:
        """Users may start: a worker that comes up from now on replaces one that has heard it."""
        self._kept = None

    def end(self) -> None:
        """No worker is to hear anything more."""
        events.off(self._hear)

    def _hear(self, event: events.Event) -> None:
        message = ControllerEvent(event.name, event.at_ns, dict(event.data))
        if self._kept is not None and len(self._kept) < MAX_KEPT:
            self._kept.append(message)
        for origin in self._workers if self._known else ():
            self._send(origin, message)
