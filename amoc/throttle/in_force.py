"""Who waits until a change of a throttle is in force, which workers say one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.throttle import Throttle


class InForce:
    """Answers those who wait, when all workers act by the change that they have made.

    Attributes:
        awaited: The epochs that are waited for, by throttle.
    """

    def __init__(self, workers: Collection[WorkerId]) -> None:
        """Begin with nobody who waits; `workers` are those that there are at any time."""
        self._workers = workers
        self.awaited: dict[str, deque[tuple[int, Later]]] = {}
        # Those that may not act by the first of these yet: to look at all, each time that one of
        # thousands has said so, would take minutes.
        self._open: dict[str, deque[WorkerId]] = {}

    def wait_for(self, throttle: Throttle[WorkerId]) -> Later | None:
        """What answers when all workers act by its newest change; None if that is now."""
        later = Later()
        self.awaited.setdefault(throttle.name, deque()).append((throttle.epoch, later))
        self.look(throttle)
        return None if later.is_done else later

    def look(self, throttle: Throttle[WorkerId]) -> None:
        """Answer those whose change of this throttle is in force."""
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
        del self._open[throttle.name]  # some may have come up meanwhile
        return throttle.in_force(epoch, self._workers)

    def stopped(self, name: str) -> None:
        """A throttle is no more, and so is what was to be waited for."""
        self._open.pop(name, None)
        for _, later in self.awaited.pop(name, ()):
            later.done()
