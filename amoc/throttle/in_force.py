"""Replies to callers that wait until a change of a throttle is in force in all workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.throttle import Throttle


class InForce:
    """Answers callers when all workers apply the change that the caller has made.

    Attributes:
        awaited: Epochs that callers wait for, with their replies, by throttle.
    """

    def __init__(self, workers: Collection[WorkerId]) -> None:
        """Create it without callers; `workers` is a live view of the run's workers."""
        self._workers = workers
        self.awaited: dict[str, deque[tuple[int, Later]]] = {}
        # Workers that may not apply the first awaited change yet. Checking all workers at each of
        # thousands of reports would take minutes.
        self._open: dict[str, deque[WorkerId]] = {}

    def wait_for(self, throttle: Throttle[WorkerId]) -> Later | None:
        """Return a reply for when all workers apply its newest change; None if they all do."""
        later = Later()
        self.awaited.setdefault(throttle.name, deque()).append((throttle.epoch, later))
        self.check(throttle)
        return None if later.is_done else later

    def check(self, throttle: Throttle[WorkerId]) -> None:
        """Answer the callers whose change of this throttle is in force by now."""
        awaited = self.awaited.get(throttle.name)
        if awaited is None:
            return
        while awaited and self._is_in_force(throttle, awaited[0][0]):
            awaited.popleft()[1].done()
        if not awaited:
            del self.awaited[throttle.name]

    def _is_in_force(self, throttle: Throttle[WorkerId], epoch: int) -> bool:
        waiting = self._open.get(throttle.name)
        if waiting is None:
            waiting = self._open[throttle.name] = deque(self._workers)
        while waiting:
            if waiting[0] in self._workers and not throttle.in_force(epoch, (waiting[0],)):
                return False
            waiting.popleft()
        del self._open[throttle.name]  # new workers may have joined meanwhile
        return throttle.in_force(epoch, self._workers)

    def stopped(self, name: str) -> None:
        """Answer all callers that wait for a throttle that was stopped."""
        self._open.pop(name, None)
        for _, later in self.awaited.pop(name, ()):
            later.done()
