"""Stops users gracefully when stages ramp down: those beyond the target, highest ids first.

The number of users cannot be derived from what stages have added: some have finished, or were added
or removed by a command. So the nodes are asked, which also know the users of lost workers.

Stages do not wait for workers, and operators do not wait for stages: users to stop are looked up,
and workers told, in the background. If a worker is lost meanwhile, its replacement is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

import gevent

from amoc.base.waiting import Notify
from amoc.ipc.messages.orders import RemoveIds, UsersRemoved
from amoc.ipc.messages.users import UsersNow
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast, Outcome
from amoc.runtime.controller.settings_update import ORDER_S
from amoc.runtime.controller.start_queue import StartQueue
from amoc.runtime.controller.status import Status
from amoc.users.placement import Placement

RETRY_S = 0.1
"""How long to wait for the replacement of a lost worker."""


class RampDown:
    """Stops users beyond the target of the stages.

    Attributes:
        target: How many users the stages want now.
        leaving: Users to stop, by worker, that the worker has not been told of yet.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        status: Status,
        starts: StartQueue,
        query: Callable[[int, range], UsersNow | None],
        ids: range,
        placement: Placement,
    ) -> None:
        """Create it without users.

        Args:
            broadcast: Sends orders to the workers.
            status: Its `added` is reduced by users that had not started yet.
            starts: The users that have not been dealt yet.
            query: Asks the nodes how many users with some ids there are, and which of them are
                beyond a number; None if a node does not answer.
            ids: The ids of the stages' users.
            placement: The worker of each user.
        """
        self.target = 0
        self._broadcast = broadcast
        self._status = status
        self._starts = starts
        self._query = query
        self._ids = ids
        self._placement = placement
        self.leaving: dict[int, set[int]] = {}
        self._notifying: set[int] = set()
        self._bell = Notify()

    def lower(self) -> None:
        """Wake `run` after `target` was lowered."""
        self._bell.ring()

    def moved(self, workers: Iterable[int]) -> None:
        """Forget users of these workers, as they have moved or are gone."""
        for worker in workers:
            if self.leaving.pop(worker, None):
                self._bell.ring()

    def run(self) -> None:
        """Tell the workers, forever. Runs in its own greenlet."""
        while True:
            if self._bell.wait(RETRY_S if self.leaving else inf):
                self._find()
            self._notify()

    def _find(self) -> None:
        """Withdraw excess users from the queue, and find those among the running ones."""
        undealt = self._starts.undealt(self._ids)
        now = self._query(max(0, self.target - undealt), self._ids)
        if now is None:
            self._bell.ring()  # a node is busy; ask again
            return
        excess = max(0, now.present + undealt - self.target)
        early = len(self._starts.withdraw(excess, self._ids))
        self._status.added -= early
        self._await(now.beyond[: excess - early])

    def _await(self, ids: Iterable[int]) -> None:
        """Record that these users must stop, for the workers that have them now."""
        for user_id in ids:
            self.leaving.setdefault(self._placement.worker_of(user_id), set()).add(user_id)

    def _notify(self) -> None:
        """Tell each worker separately, so that one that hangs does not hold up the others."""
        there = {origin.worker: origin for origin in self._broadcast.workers}
        for worker in self.leaving.keys() & there.keys() - self._notifying:
            self._notifying.add(worker)
            gevent.spawn(self._notify_one, there[worker], self.leaving.pop(worker))

    def _notify_one(self, origin: WorkerId, ids: set[int]) -> None:
        replies = self._broadcast.ask(
            lambda number, _: RemoveIds(number, sorted(ids)), ORDER_S, to=[origin]
        )
        self._notifying.discard(origin.worker)
        one = replies.get(origin)
        if one is None or one.outcome is not Outcome.ANSWERED:
            self._await(ids)
            self._bell.ring()  # the target, or the excess users, may have changed
        elif isinstance(one.answer, UsersRemoved):
            self._status.added -= one.answer.withdrawn
