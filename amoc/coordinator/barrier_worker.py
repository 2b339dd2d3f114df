"""Barriers, the worker's side: users wait here until the common release time.

Each arriving user draws a ticket; arrivals within about a millisecond are sent together. At the
release time the event loop switches to the users one after the other, and gets a turn after each
`RELEASED_PER_TURN`, so that a worker with tens of thousands of users stays responsive.

All barriers share two counters. Since barriers need no start, a name may be for one round or one
pair of users, and the board has no room to count each of them.

A user that is killed or asked to stop while it waits withdraws before it leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain, islice
from typing import TYPE_CHECKING

from gevent import get_hub, getcurrent

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import raise_without_cycle
from amoc.base.waiting import Waiter, check_interrupt, interrupt, wait
from amoc.coordinator.counters import Barriers, barriers
from amoc.ipc.messages import coordinator as messages
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

RELEASED_PER_TURN = 100
CONFIRM_S = 5.0
"""How long the controller may take to answer whether a user that gave up was released before."""


class BarrierTimeout(ScenarioError, TimeoutError):
    """Too few users came to a barrier in time."""


class _Outcome(Enum):
    RELEASED = "released"
    WITHDRAWN = "withdrawn"


_Waiter = Waiter[_Outcome | ScenarioError]


class WorkerBarriers:
    """The users of this worker that wait at barriers."""

    def __init__(self, worker: WorkerId, outbox: Outbox) -> None:
        self._worker = worker
        self._outbox = outbox
        self._send = outbox.sender(Part.COORDINATOR, messages.COORDINATOR_TO_CONTROLLER)
        self._last_ticket = 0
        self._waiting: dict[int, _Waiter] = {}
        self._came: dict[tuple[str, int], list[int]] = {}
        self._going: deque[Iterator[int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, name: str, n: int, timeout: float) -> None:
        """Wait until `n` users wait.

        Raises:
            UserStopped: The user was asked to stop.
            BarrierTimeout: Too few came within `timeout` seconds.
            ScenarioError: Others wait there for another number.
        """
        check_interrupt()
        self._last_ticket += 1
        ticket = self._last_ticket
        waiter = self._waiting[ticket] = Waiter()
        self._arrive(name, n, ticket)
        interrupted: BaseException | None = None
        try:
            wait(waiter, timeout)
        except BaseException as error:
            if not waiter.raised:  # it was killed
                self._withdraw(name, ticket)
                raise
            interrupted = error
        finally:
            del self._waiting[ticket]
        outcome = waiter.value or self._give_up(name, ticket)
        if outcome is _Outcome.RELEASED:
            if interrupted is not None:
                interrupt(getcurrent(), interrupted)  # where it waits next
            pause.wait_resumed()
            return
        if interrupted is not None:
            holder = [interrupted]
            interrupted = None
            raise_without_cycle(holder)
        if isinstance(outcome, ScenarioError):
            raise outcome
        barriers(Barriers.TIMEOUTS).inc()
        raise BarrierTimeout(f"barrier {name} must have {n} users within {timeout:g} s, got fewer")

    def _give_up(self, name: str, ticket: int) -> _Outcome | ScenarioError | None:
        """Withdraw, and return the outcome: the release may have been on its way."""
        waiter = self._waiting[ticket] = Waiter()
        try:
            self._withdraw(name, ticket)
            waiter.wait(CONFIRM_S)
        finally:
            del self._waiting[ticket]
        return waiter.value

    # Messages to the controller.

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
            self._send(self._worker, messages.BarrierArrivals(name, n, tickets))

    def _withdraw(self, name: str, ticket: int) -> None:
        self._report()  # the arrival must be sent first
        self._send(self._worker, messages.BarrierWithdrawals(name, [ticket]))

    # Messages from the controller.

    def release(self, record: messages.BarrierRelease) -> None:
        """Release these users at the given time."""
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
            loop.run_callback(self._release_some)

    def _moment(self, timer: _TimerWatcher, at_ns: int, going: Iterator[int]) -> None:
        timer.close()
        self._release_at(at_ns, going)

    def _release_some(self) -> None:
        tickets = self._going[0]
        waiting = self._waiting
        seen = released = 0
        for ticket in islice(tickets, RELEASED_PER_TURN):
            seen += 1
            waiter = waiting.get(ticket)
            if waiter is not None:
                self._settle(waiter, _Outcome.RELEASED)  # it runs until it waits for something
                released += 1
        barriers(Barriers.RELEASED).inc(released)
        if seen < RELEASED_PER_TURN:
            self._going.popleft()
        if self._going:
            get_hub().loop.run_callback(self._release_some)

    def withdrawn(self, record: messages.BarrierWithdrawals) -> None:
        """Process the confirmation that these users no longer count."""
        self._end(record.tickets, _Outcome.WITHDRAWN)

    def refused(self, record: messages.BarrierRefusal) -> None:
        """Fail these users: they wait for another number than the others."""
        self._end(record.tickets, ScenarioError(record.reason))

    def _end(self, tickets: Iterable[int], outcome: _Outcome | ScenarioError) -> None:
        for ticket in tickets:
            waiter = self._waiting.get(ticket)
            if waiter is not None:
                self._settle(waiter, outcome)

    def _settle(self, waiter: _Waiter, outcome: _Outcome | ScenarioError) -> None:
        waiter.set(outcome)
        waiter.value = outcome  # also if it was interrupted just now
        waiter.wake()
