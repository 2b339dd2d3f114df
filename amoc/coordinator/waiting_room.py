"""Barriers, the worker's end: users wait here until the controller names the moment for all.

Each that comes draws a ticket; arrivals of about a millisecond travel together. At the moment they
are let go from the event loop, one straight after the other, and the loop turns after each
`RELEASED_PER_TURN`, so that a worker with tens of thousands of them stays alive meanwhile.

A user that was killed, or crashed, is taken out by its own way out; one that was asked to leave is
found by a look around every `LOOK_S`.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from gevent import get_hub, getcurrent

from amoc import messages, metrics, pausing
from amoc.errors import ScenarioError
from amoc.messages import BarrierArrivals, BarrierRefusal, BarrierRelease, BarrierWithdrawals
from amoc.outbox import Outbox
from amoc.timing import S_NS, now_ns
from amoc.user import User
from amoc.waiting import Waiter

__all__ = ["BarrierTimeout", "WaitingRoom"]

PART = "coordinator"
RELEASED_PER_TURN = 100
LOOK_S = 0.5
CONFIRM_S = 5.0
"""How long the controller may take to say whether a user that gave up was released before."""


class BarrierTimeout(ScenarioError, TimeoutError):
    """Too few users came to a barrier in time."""


class _Outcome(Enum):
    RELEASED = "released"
    LEAVING = "leaving"
    WITHDRAWN = "withdrawn"


class WaitingRoom:
    """Where this worker's users wait at barriers."""

    def __init__(self, slot: int, outbox: Outbox) -> None:
        self._slot = slot
        self._outbox = outbox
        self._last_ticket = 0
        self._waiting: dict[int, Waiter[_Outcome]] = {}
        self._users: dict[int, User] = {}
        self._came: dict[tuple[str, int], list[int]] = {}
        self._going: deque[int] = deque()
        self._looking = False

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, name: str, n: int, timeout: float) -> bool:
        """Wait until `n` users do; False if the caller was asked to leave meanwhile.

        Raises:
            BarrierTimeout: There were not that many within `timeout` seconds.
            ScenarioError: Others wait there for another number.
        """
        self._last_ticket += 1
        ticket = self._last_ticket
        waiter: Waiter[_Outcome] = Waiter()
        self._waiting[ticket] = waiter
        caller = getcurrent()
        if isinstance(caller, User):
            self._users[ticket] = caller
            self._look_later()
        self._arrive(name, n, ticket)
        counted = True
        try:
            in_time = pausing.wait(waiter.wait, timeout)
            if waiter.value is not _Outcome.RELEASED:
                counted = False
                outcome = self._give_up(name, ticket)
                if outcome is not _Outcome.RELEASED:
                    if in_time:
                        return False
                    metrics.counter(f"barrier.{name}.timeouts").inc()
                    raise BarrierTimeout(
                        f"{n} users must be at barrier {name} within {timeout:g} s, but were not"
                    )
            counted = False
            metrics.counter(f"barrier.{name}.released").inc()
        finally:
            self._waiting.pop(ticket, None)
            self._users.pop(ticket, None)
            if counted and waiter.error is None and not waiter.done:
                self._withdraw(name, ticket)
        pausing.wait_resumed()
        return True

    def _give_up(self, name: str, ticket: int) -> _Outcome | None:
        """Ask to be taken out; what came of it."""
        self._users.pop(ticket, None)
        waiter = self._waiting[ticket] = Waiter()
        self._withdraw(name, ticket)
        waiter.wait(CONFIRM_S)
        return waiter.value

    # To the controller.

    def _arrive(self, name: str, n: int, ticket: int) -> None:
        tickets = self._came.get((name, n))
        if tickets is None:
            if not self._came:
                self._outbox.at_flush(self._report)
            tickets = self._came[name, n] = []
        tickets.append(ticket)

    def _report(self) -> None:
        came, self._came = self._came, {}
        for (name, n), tickets in came.items():
            item = messages.pack_item(BarrierArrivals(name, n, tickets))
            self._outbox.put(PART, self._slot, item)

    def _withdraw(self, name: str, ticket: int) -> None:
        self._report()  # or its arrival could come after this
        item = messages.pack_item(BarrierWithdrawals(name, [ticket]))
        self._outbox.put(PART, self._slot, item)

    # From the controller.

    def release(self, record: BarrierRelease) -> None:
        """These may go when the moment has come."""
        tickets = [
            ticket for first, count in record.ranges for ticket in range(first, first + count)
        ]
        self._release_at(record.at_ns, tickets)

    def _release_at(self, at_ns: int, tickets: list[int]) -> None:
        early_ns = at_ns - now_ns()
        loop = get_hub().loop
        if early_ns > 0:
            timer = loop.timer(early_ns / S_NS)
            timer.start(self._moment, timer, at_ns, tickets)
            return
        idle = not self._going
        self._going.extend(tickets)
        if idle:
            loop.run_callback(self._let_some_go)

    def _moment(self, timer: object, at_ns: int, tickets: list[int]) -> None:
        timer.close()  # type: ignore[attr-defined]
        self._release_at(at_ns, tickets)

    def _let_some_go(self) -> None:
        going = self._going
        for _ in range(min(len(going), RELEASED_PER_TURN)):
            self._end(going.popleft(), _Outcome.RELEASED)
        if going:
            get_hub().loop.run_callback(self._let_some_go)

    def withdrawn(self, record: BarrierWithdrawals) -> None:
        """These have been taken out, as they asked."""
        for ticket in record.tickets:
            self._end(ticket, _Outcome.WITHDRAWN)

    def refused(self, record: BarrierRefusal) -> None:
        """These have been told to wait for another number than the others."""
        for ticket in record.tickets:
            waiter = self._waiting.get(ticket)
            if waiter is not None:
                waiter.fail(ScenarioError(record.reason))
                waiter.wake()

    def _end(self, ticket: int, outcome: _Outcome) -> None:
        waiter = self._waiting.get(ticket)
        if waiter is not None:
            waiter.set(outcome)
            waiter.wake()

    # Who is asked to leave.

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            timer = get_hub().loop.timer(LOOK_S)
            timer.start(self._look, timer)

    def _look(self, timer: object) -> None:
        timer.close()  # type: ignore[attr-defined]
        self._looking = False
        for ticket, user in list(self._users.items()):
            if user.leave:
                self._end(ticket, _Outcome.LEAVING)
        if self._users:
            self._look_later()
