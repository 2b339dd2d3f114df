"""Stops users gracefully when stages ramp down: those above the line, the highest ids first.

How many users there are is not known from what stages have added: some have finished, or were
removed or added by a command. So the node is asked, which also knows those of a lost worker.

Stages do not wait for workers, and operators do not wait for stages: users that are to stop are
looked up and told in the background. A worker that is lost meanwhile is replaced, and its successor
is told.
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
"""How long to wait for a worker that is being replaced."""


class RampDown:
    """Stops users above the line of the stages.

    Attributes:
        line: How many users the stages want now.
        leaving: Users that are to stop, by the worker that is still to be told.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        status: Status,
        starts: StartQueue,
        look: Callable[[int, range], UsersNow | None],
        ids: range,
        placement: Placement,
    ) -> None:
        """Begin without users.

        Args:
            broadcast: Gives orders to the workers.
            status: Its `added` shrinks by the users that had not started yet.
            starts: The users that have not been dealt.
            look: Asks the nodes where users stand, and which of some ids are beyond that many; None
                if one does not answer.
            ids: Those that the stages are about.
            placement: Who runs where.
        """
        self.line = 0
        self._broadcast = broadcast
        self._status = status
        self._starts = starts
        self._look = look
        self._ids = ids
        self._placement = placement
        self.leaving: dict[int, set[int]] = {}
        self._told: set[int] = set()
        self._bell = Notify()

    def fall(self) -> None:
        """The line has fallen."""
        self._bell.ring()

    def moved(self, workers: Iterable[int]) -> None:
        """The users of these workers are elsewhere, or gone."""
        for worker in workers:
            if self.leaving.pop(worker, None):
                self._bell.ring()

    def run(self) -> None:
        """Tell the workers, for ever; runs in its own greenlet."""
        while True:
            if self._bell.wait(RETRY_S if self.leaving else inf):
                self._find()
            self._tell()

    def _find(self) -> None:
        """Take users above the line from the queue, and find those that are beyond it."""
        undealt = self._starts.undealt(self._ids)
        now = self._look(max(0, self.line - undealt), self._ids)
        if now is None:
            self._bell.ring()  # the node is busy; ask again
            return
        excess = max(0, now.present + undealt - self.line)
        early = len(self._starts.withdraw(excess, self._ids))
        self._status.added -= early
        self._await(now.beyond[: excess - early])

    def _await(self, ids: Iterable[int]) -> None:
        """These users are to stop; their workers, the ones that they are on now, are to be told."""
        for user_id in ids:
            self.leaving.setdefault(self._placement.worker_of(user_id), set()).add(user_id)

    def _tell(self) -> None:
        """Tell each worker by itself: one that hangs holds up no other."""
        there = {origin.worker: origin for origin in self._broadcast.workers}
        for worker in self.leaving.keys() & there.keys() - self._told:
            self._told.add(worker)
            gevent.spawn(self._tell_one, there[worker], self.leaving.pop(worker))

    def _tell_one(self, origin: WorkerId, ids: set[int]) -> None:
        replies = self._broadcast.ask(
            lambda number, _: RemoveIds(number, sorted(ids)), ORDER_S, to=[origin]
        )
        self._told.discard(origin.worker)
        one = replies.get(origin)
        if one is None or one.outcome is not Outcome.ANSWERED:
            self._await(ids)
            self._bell.ring()  # the line, or who is above it, may be another by now
        elif isinstance(one.answer, UsersRemoved):
            self._status.added -= one.answer.withdrawn
