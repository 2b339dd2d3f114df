"""Stops users gracefully when stages ramp down, the last ones that were added first.

Stages do not wait for workers, and operators do not wait for stages: the users that are to stop are
collected for each worker and handed over in the background. A worker that is lost meanwhile is
replaced, and its successor is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from amoc.base.waiting import Notify
from amoc.ipc.messages.orders import RemoveIds, UsersRemoved
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast, Outcome
from amoc.runtime.controller.settings_update import ORDER_S
from amoc.runtime.controller.status import Status
from amoc.users import placement

RETRY_S = 0.1
"""How long to wait for a worker that is being replaced."""


class RampDown:
    """Stops users that stages have added, the highest ids first."""

    def __init__(self, broadcast: Broadcast, status: Status, workers: int) -> None:
        """Begin without users.

        Args:
            broadcast: Gives orders to the workers.
            status: Its `added` shrinks by the users that had not started yet.
            workers: How many workers there are.
        """
        self._broadcast = broadcast
        self._status = status
        self._workers = workers
        self._brought: list[int] = []
        self._leaving: dict[int, list[int]] = {}
        self._bell = Notify()

    def bring(self, ids: Iterable[int]) -> None:
        """Stages have added users; the last ones stop first."""
        self._brought.extend(ids)

    def take(self, count: int) -> None:
        """Stop the last `count` of the users that were added."""
        for user_id in self._brought[-count:]:
            worker = placement.worker_of(user_id, 1, self._workers)
            self._leaving.setdefault(worker, []).append(user_id)
        del self._brought[-count:]
        self._bell.ring()

    def run(self) -> None:
        """Tell the workers, for ever; runs in its own greenlet."""
        while True:
            self._bell.wait(RETRY_S if self._leaving else inf)
            self._tell()

    def _tell(self) -> None:
        leaving, self._leaving = self._leaving, {}
        there = {origin.worker: origin for origin in self._broadcast.workers}
        to = [there[worker] for worker in leaving if worker in there]

        def order(number: int, origin: WorkerId) -> RemoveIds:
            return RemoveIds(number, leaving[origin.worker])

        for origin, one in self._broadcast.ask(order, ORDER_S, to=to).items():
            if one.outcome is Outcome.ANSWERED:
                if isinstance(one.answer, UsersRemoved):
                    self._status.added -= one.answer.withdrawn
                del leaving[origin.worker]
        for worker, ids in leaving.items():
            self._leaving[worker] = [*ids, *self._leaving.get(worker, ())]
