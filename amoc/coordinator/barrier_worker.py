"""Barriers, the worker's end: users wait here until the controller names the moment for all.

Each that comes draws a ticket; arrivals of about a millisecond travel together. At the moment they
are let go from the event loop, one straight after the other, and the loop turns after each
`RELEASED_PER_TURN`, so that a worker with tens of thousands of them stays alive meanwhile.

All barriers are counted together. They need no start, so a name may be for one round or one pair,
and there is no room on the board to count each by itself.

A user that was killed, or is asked to leave meanwhile, takes itself out on its way out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from functools import partial
from itertools import chain, islice
from typing import Any

from gevent import get_hub, getcurrent

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.waiting import Waiter
from amoc.ipc.messages import (
    COORDINATOR_TO_CONTROLLER,
    BarrierArrivals,
    BarrierRefusal,
    BarrierRelease,
    BarrierWithdrawals,
    Part,
)
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import optional
from amoc.users.user import Leaving, User

__all__ = ["BarrierTimeout", "WaitingRoom"]

RELEASED_PER_TURN = 100
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

    def __init__(self, worker: WorkerId, outbox: Outbox) -> None:
        self._worker = worker
        self._outbox = outbox
        self._last_ticket = 0
        self._waiting: dict[int, Waiter[_Outcome]] = {}
        self._came: dict[tuple[str, int], list[int]] = {}
        self._going: deque[Iterator[int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, name: str, n: int, timeout: float) -> None:
        """Wait until `n` users do.

        Raises:
            Leaving: The caller was asked to leave before.
            BarrierTimeout: There were not that many within `timeout` seconds.
            ScenarioError: Others wait there for another number.
        """
        caller = getcurrent()
        user = caller if isinstance(caller, User) else None
        if user is not None and user.leave:
            raise Leaving
        self._last_ticket += 1
        ticket = self._last_ticket
        waiter = self._waiting[ticket] = Waiter()
        self._arrive(name, n, ticket)
        ask_out = True
        try:
            if user is not None:
                user.on_leave = partial(self._end, ticket, _Outcome.LEAVING)
            pause.wait(waiter.wait, timeout)
            ask_out = False
            if waiter.value is not _Outcome.RELEASED and not self._released_after_all(
                name, ticket, user
            ):
                raise self._reason(name, n, timeout, waiter.value)
        finally:
            self._waiting.pop(ticket, None)
            if user is not None:
                user.on_leave = None
            if ask_out and waiter.error is None:  # it was killed
                self._withdraw(name, ticket)
        pause.wait_resumed()

    def _released_after_all(self, name: str, ticket: int, user: User | None) -> bool:
        """Ask to be taken out; whether that came too late, and the release came instead."""
        if user is not None:
            user.on_leave = None
        waiter = self._waiting[ticket] = Waiter()
        self._withdraw(name, ticket)
        waiter.wait(CONFIRM_S)
        return waiter.value is _Outcome.RELEASED

    def _reason(self, name: str, n: int, timeout: float, outcome: _Outcome | None) -> BaseException:
        """Why a wait has ended in vain."""
        if outcome is _Outcome.LEAVING:
            return Leaving()
        optional.counter("barriers.timeouts", kept_free=0).inc()
        return BarrierTimeout(
            f"{n} users must be at barrier {name} within {timeout:g} s, but were not"
        )

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
            item = COORDINATOR_TO_CONTROLLER.pack(BarrierArrivals(name, n, tickets))
            self._outbox.put(Part.COORDINATOR, self._worker, item)

    def _withdraw(self, name: str, ticket: int) -> None:
        self._report()  # or its arrival could come after this
        item = COORDINATOR_TO_CONTROLLER.pack(BarrierWithdrawals(name, [ticket]))
        self._outbox.put(Part.COORDINATOR, self._worker, item)

    # From the controller.

    def release(self, record: BarrierRelease) -> None:
        """These may go when the moment has come."""
        every = chain.from_iterable(range(first, first + count) for first, count in record.ranges)
        self._release_at(record.at_ns, every)

    def _release_at(self, at_ns: int, going: Iterator[int]) -> None:
        early_ns = at_ns - now_ns()
        loop = get_hub().loop
        if early_ns > 0:
            timer = loop.timer(early_ns / S_NS)
            timer.start(self._moment, timer, at_ns, going)
            return
        self._going.append(going)
        if len(self._going) == 1:
            loop.run_callback(self._let_some_go)

    def _moment(self, timer: Any, at_ns: int, going: Iterator[int]) -> None:
        timer.close()
        self._release_at(at_ns, going)

    def _let_some_go(self) -> None:
        tickets = self._going[0]
        waiting = self._waiting
        looked_at = released = 0
        for ticket in islice(tickets, RELEASED_PER_TURN):
            looked_at += 1
            waiter = waiting.get(ticket)
            if waiter is not None:
                waiter.set(_Outcome.RELEASED)
                waiter.wake()  # runs the user until it waits for something
                released += 1
        optional.counter("barriers.released", kept_free=0).inc(released)
        if looked_at < RELEASED_PER_TURN:
            self._going.popleft()
        if self._going:
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
