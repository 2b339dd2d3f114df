"""Users that stages take away again: the last ones that stages have brought, gently.

Stages do not wait for workers, and operators do not wait for stages: what is to leave is gathered
for each worker and handed over in the background. A worker that is lost meanwhile is replaced, and
its successor is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from amoc.base.waiting import Notify
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast
from amoc.runtime.controller.settings_update import ORDER_S
from amoc.runtime.controller.status import Status
from amoc.users import placement
from amoc.users.removal import Removal

RETRY_S = 0.1
"""How long to wait for a worker that is being replaced."""


class RampDown:
    """Has users leave, the highest numbers first."""

    def __init__(self, ordering: Broadcast, status: Status, workers: int) -> None:
        """Begin with nobody.

        Args:
            ordering: Gives orders to the workers.
            status: Is told of users that were not even started.
            workers: How many workers there are.
        """
        self._ordering = ordering
        self._status = status
        self._workers = workers
        self._brought: list[int] = []
        self._leaving: dict[int, list[int]] = {}
        self._bell = Notify()

    def bring(self, ids: Iterable[int]) -> None:
        """Users come by stages; those that come last leave first."""
        self._brought.extend(ids)

    def take(self, count: int) -> None:
        """The last `count` of those that were brought are to leave."""
        for user_id in self._brought[-count:]:
            worker = placement.worker_of(user_id, 1, self._workers)
            self._leaving.setdefault(worker, []).append(user_id)
        del self._brought[-count:]
        self._bell.ring()

    def run(self) -> None:
        """Tell the workers, for ever; to be a greenlet of its own."""
        while True:
            self._bell.wait(RETRY_S if self._leaving else inf)
            self._tell()

    def _tell(self) -> None:
        leaving, self._leaving = self._leaving, {}
        there = {origin.worker: origin for origin in self._ordering.workers}
        to = [there[worker] for worker in leaving if worker in there]

        def ids_of(origin: WorkerId) -> dict[str, list[int]]:
            return {"ids": leaving[origin.worker]}

        for origin, done in self._ordering.ask("remove_ids", ids_of, ORDER_S, to=to).items():
            if not done.answer.get("missing"):
                self._status.added -= Removal.of(done.answer).withdrawn
                del leaving[origin.worker]
        for worker, ids in leaving.items():
            self._leaving[worker] = [*ids, *self._leaving.get(worker, ())]
