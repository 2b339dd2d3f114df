"""The controller's side of orders: sends an order to all workers, and waits for their replies.

An order goes to the workers that are up when it is given. A worker that is lost before it has
replied, or has not replied by the deadline, counts as having refused.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.text import counted
from amoc.base.waiting import Notify, Waiter
from amoc.control.answers import WorkerAnswer, WorkerUsers
from amoc.ipc.messages.orders import ORDER_REPLIES, Done, Order, Refused, UserCounts, UsersRemoved
from amoc.ipc.worker_id import WorkerId
from amoc.users.removal import Removal

REPLACE_S = 10.0
"""How long a lost worker's replacement may take to start and to apply changes."""


class Outcome(Enum):
    """The outcome of an order at one worker."""

    ANSWERED = "answered"
    """The worker has carried it out, or refused it."""
    SILENT = "silent"
    """The worker has not replied in time; it may or may not have carried it out."""
    LOST = "lost"
    """The worker was lost."""


class Reply(NamedTuple):
    """One worker's reply to an order, or why there is none."""

    outcome: Outcome
    error: str = ""
    """Why it was not carried out; empty if it was."""
    answer: Done | UserCounts | UsersRemoved | None = None
    """The worker's answer; None if there is none or it has refused."""

    @property
    def removal(self) -> Removal:
        """What the worker has removed; nothing if it has not answered."""
        return Removal(*self.answer[1:]) if isinstance(self.answer, UsersRemoved) else Removal()

    @property
    def highest_id(self) -> int:
        """The highest id that the worker has reported; 0 if it has reported none."""
        return self.answer.highest_id if isinstance(self.answer, UserCounts) else 0

    def users(self, origin: WorkerId) -> WorkerUsers:
        """Return the numbers of users of the worker, which is `origin`."""
        if not isinstance(self.answer, UserCounts):
            return WorkerUsers(str(origin), self.error)
        _, alive, queued, *_ = self.answer
        text = f"{counted(alive, 'user')}, {queued:,} pending"
        return WorkerUsers(str(origin), text, alive, queued)


def texts(replies: Mapping[WorkerId, Reply]) -> list[WorkerAnswer]:
    """Return what each worker has done, or why it has not."""
    return [
        WorkerAnswer(str(origin), one.answer.text if isinstance(one.answer, Done) else one.error)
        for origin, one in replies.items()
    ]


LOST = Reply(Outcome.LOST, "was lost before it replied")


@dataclass
class Pending:
    """An order to which not all workers have replied yet."""

    number: int
    chosen: list[WorkerId]
    missing: set[WorkerId]
    replies: dict[WorkerId, Reply] = field(default_factory=dict)
    complete: Waiter[None] = field(default_factory=Waiter)


class Broadcast:
    """Knows the workers that are up, and their pending orders.

    Attributes:
        workers: The workers that are up.
    """

    def __init__(self, post: Callable[[WorkerId, Order], None]) -> None:
        self.workers: set[WorkerId] = set()
        self._up = Notify()
        self._post = post
        self._number = 0
        self._pending: dict[int, Pending] = {}

    def worker_up(self, origin: WorkerId) -> None:
        """Add a worker."""
        self.workers.add(origin)
        self._up.ring()

    def worker_lost(self, origin: WorkerId) -> None:
        """Remove a worker, and stop waiting for its replies."""
        self.workers.discard(origin)
        for number in list(self._pending):
            self._take(origin, number, LOST)

    def handle(self, origin: WorkerId, body: bytes | memoryview) -> None:
        """Process the replies of a worker."""
        for one in ORDER_REPLIES.unpack_stream(body):
            if isinstance(one, Refused):
                self._take(origin, one.number, Reply(Outcome.ANSWERED, one.error))
            else:
                self._take(origin, one.number, Reply(Outcome.ANSWERED, answer=one))

    def _take(self, origin: WorkerId, number: int, reply: Reply) -> None:
        pending = self._pending.get(number)
        if pending is None or origin not in pending.missing:
            return  # no longer awaited
        pending.missing.discard(origin)
        pending.replies[origin] = reply
        if not pending.missing:
            pending.complete.set(None)
            pending.complete.wake()

    def ready(self, among: Container[int] | None = None) -> list[WorkerId]:
        """Return the workers that are up; wait while all are being replaced.

        One command at a time may call it.

        Args:
            among: Consider only workers with these numbers.

        Raises:
            PeerError: No worker has started in time.
        """
        until_ns = now_ns() + int(REPLACE_S * S_NS)
        while not (
            there := sorted(one for one in self.workers if among is None or one.worker in among)
        ):
            if not self._up.wait(max(0, until_ns - now_ns()) / S_NS):
                raise PeerError(f"no worker was ready within {REPLACE_S:g} s; nothing was changed")
        return there

    def tell(self, origin: WorkerId, order: Callable[[int], Order]) -> None:
        """Send an order to one worker, without waiting for its reply."""
        self._number += 1
        self._post(origin, order(self._number))

    def ask(
        self,
        order: Callable[[int, WorkerId], Order],
        deadline_s: float,
        to: Iterable[WorkerId] | None = None,
    ) -> dict[WorkerId, Reply]:
        """Send an order to workers, and wait for their replies.

        Args:
            order: Builds the order with a number for a worker.
            deadline_s: How long to wait.
            to: The workers; all by default.

        Returns:
            The reply of each worker.
        """
        return self.wait(self.begin(order, to), deadline_s)

    def begin(
        self, order: Callable[[int, WorkerId], Order], to: Iterable[WorkerId] | None = None
    ) -> Pending:
        """Send an order as `ask` does, without waiting; `wait` must follow."""
        chosen = sorted(self.workers if to is None else to)
        self._number += 1
        pending = self._pending[self._number] = Pending(self._number, chosen, set(chosen))
        for origin in chosen:
            self._post(origin, order(pending.number, origin))
        return pending

    def wait(self, pending: Pending, deadline_s: float) -> dict[WorkerId, Reply]:
        """Wait for the replies to a pending order; return the reply of each worker."""
        try:
            if pending.missing:
                pending.complete.wait(deadline_s)
        finally:
            del self._pending[pending.number]
        silent = Reply(Outcome.SILENT, f"has not replied within {deadline_s:g} s")
        return {origin: pending.replies.get(origin, silent) for origin in pending.chosen}
