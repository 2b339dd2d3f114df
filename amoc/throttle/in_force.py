"""Who waits until a change of a throttle is in force, which workers say one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.throttle import Throttle


class InForce:
    """Answers those who wait, when all workers act by the change that they have made."""

    def __init__(self, workers: Collection[WorkerId]) -> None:
        """Begin with nobody who waits; `workers` are those that there are at any time."""
        self._workers = workers
        self._awaited: dict[str, deque[tuple[int, Later]]] = {}  # epochs, by throttle

    def wait_for(self, throttle: Throttle[WorkerId]) -> Later | None:
        """What answers when all workers act by its newest change; None if that is now."""
        later = Later()
        self._awaited.setdefault(throttle.name, deque()).append((throttle.epoch, later))
        self.look(throttle)
        return None if later.is_done else later

    def look(self, throttle: Throttle[WorkerId]) -> None:
        """Answer those whose change of this throttle is in force."""
        awaited = self._awaited.get(throttle.name)
        if awaited is None:
            return
        while awaited and throttle.in_force(awaited[0][0], self._workers):
            awaited.popleft()[1].done()
        if not awaited:
            del self._awaited[throttle.name]

    def stopped(self, name: str) -> None:
        """A throttle is no more, and so is what was to be waited for."""
        for _, later in self._awaited.pop(name, ()):
            later.done()
