"""One throttle as a worker sees it: who waits, in order, and the slots in hand.

Slots come from the controller in blocks and are let go at their times, each to the one that waited
longest. A slot that comes due and finds nobody is gone, or goes back with all later ones where
slots are far apart or were dealt far ahead; one more than `VOID_NS` late is void: it is asked for
again, and counted as missed unless the whole run stood still meanwhile. A change of the throttle is
known ahead of time: slots that it makes void are dropped when it is heard of, what it does to the
rest happens at its moment.

What is queued is given its token, which is the intended time, or an error in its stead, within the
callback of the loop's timer. One that is done was given up, and is passed over when its turn comes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

from gevent import get_hub

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import MS_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.run_clock import round_trip_ns
from amoc.base.waiting import Waiter
from amoc.ipc.messages.throttle import Permits, ThrottleMode, Tokens, Want
from amoc.metrics import optional
from amoc.scenario.events import THROTTLE_EXECUTE, THROTTLE_REQUEST
from amoc.throttle.blocks import Block, SlotsInHand
from amoc.throttle.demand import GAP_NS, Foresight, NoForesight, report_ns
from amoc.throttle.permit_stock import Permit, PermitStock
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_allocator import FAR_APART_NS, HORIZON_NS, VOID_NS
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.token_waiter import Token, user_of

Record = Callable[[str, int, int, int, int], None]
"""Gets each slot that is used: throttle, epoch, slot, when it was due, when it was used."""

# A name of an enumeration is looked up anew each time, and these are asked for with each slot.
_OPEN, _GONE = Mode.OPEN, Mode.GONE
_ALL_GO = (_OPEN, _GONE)
IN_TIME_NS = 20 * MS_NS
"""How long before its time a slot must be here, not to be late on a busy machine."""


class WorkerQueue:
    """Lets users of this worker through one throttle.

    Attributes:
        name: The throttle's.
        epoch: The newest that was heard of; 0 before the controller has said anything.
        permits: Whether it limits concurrency.
        mode: What it does with those who wait.
        waiting: How many wait.
        handed: The permit of the one that passed last.
        armed_ns: When the gate will call `work`.
        tell_ns: When the gate will ask `want`; never if that is to be thought about anew.
        told_ns: When the controller was last told what is wanted.
        record: Gets each slot that is used, if there is one.
        stock: The permits that no user here holds.
        gauge: Shows how many wait.
        foresight: Tells how many slots to ask for ahead.
        lateness: Records how late slots are used.
        every: Whether each slot counts, as of an arrival rate: none is passed over in silence.
    """

    def __init__(
        self,
        name: str,
        lateness: metrics.Timer,
        record: Record | None,
        attend: Callable[[WorkerQueue], object] = lambda _: None,
    ) -> None:
        """Hold everybody at first; `attend` is told of who comes to wait, or waits no more."""
        self.name = name
        self._attend = attend
        self.epoch = 0
        self._first_epoch = 0  # since when slots, or permits, are what it deals with
        self._in_force = self._in_force_told = 0
        self._applied = (0, 0)  # the newest change whose time has come: epoch, time
        self.permits = self.every = False
        self.waiting = 0
        self.handed: Permit | None = None
        self.armed_ns = NEVER_NS
        self.tell_ns, self.told_ns = NEVER_NS, 0
        self.mode = Mode.HELD
        self._changes: deque[ThrottleMode] = deque()
        self._queue: deque[Waiter[Token]] = deque()
        self._hand = SlotsInHand()
        self.stock = PermitStock()
        self._seen = self._back_told = self._late = 0
        self._believed = 0  # what the controller takes us to want
        self._since_ns = 0
        self.foresight: Foresight | NoForesight = Foresight()
        self.lateness = lateness
        self.record = record
        meters = optional.throttle(name)
        self._requests, self._executions = meters.requests, meters.executions
        self._missed, self.gauge = meters.missed, meters.waiting
        self.gauge.set(0)

    def __repr__(self) -> str:
        what = f"{self.waiting} waiting, {self._hand.size} slots in hand"
        return f"<queue {self.name}, {self.mode}: {what}>"

    # Users

    def is_open(self, at_ns: int) -> bool:
        """Whether everybody may pass."""
        if self._changes and self._changes[0].from_ns <= at_ns:
            self._apply_changes(at_ns)
        return self.mode is _OPEN

    def enter(self, waiter: Waiter[Token]) -> int | None:
        """Let `waiter` wait until it is given its token, in the hub; or an `AmocError`.

        Returns:
            The token, its intended time in ns, if there is nothing to wait for; else None.
        """
        self._requests.cells[0] += 1
        if THROTTLE_REQUEST.heard:
            THROTTLE_REQUEST(user_of(waiter), throttle=self.name, waiting=self.waiting)
        if self.mode is _OPEN or self._changes:
            at_ns = now_ns()
            if self.is_open(at_ns) and not self.waiting and not pause.clock.since_ns:
                self._count_executed(waiter)
                return at_ns
        if self.permits and not self.waiting:
            self.stock.asked_for(now_ns())
        if self.stock.kept:
            if not self._changes and not pause.clock.since_ns:
                self.handed = self.stock.take_kept()
                self._count_executed(waiter)
                return now_ns()
            self.stock.hand_out_kept()
        self._queue.append(waiter)
        self.waiting += 1
        if self.waiting == self._hand.size + 1:
            self._since_ns = now_ns()
        self._attend(self)
        return None

    def leave(self, waiter: Waiter[Token]) -> None:
        """`waiter`, which has entered and was given nothing, waits no more."""
        # Removing it from the queue would make the end of a run with many waiters quadratic.
        waiter.done = True
        self.waiting -= 1
        if len(self._queue) > 2 * self.waiting + 64:
            live = [one for one in self._queue if not one.done]
            self._queue.clear()
            self._queue.extend(live)
        self._attend(self)

    def _first(self) -> Waiter[Token] | None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done:
                self.waiting -= 1
                return waiter
        return None

    # The controller

    def hear_mode(self, news: ThrottleMode) -> None:
        """It changes."""
        if news.epoch <= self.epoch:
            return  # known; both an answer and an envelope may have brought it
        if not self.epoch:
            self.permits = news.permits
        before = self._changes[-1].permits if self._changes else self.permits
        if news.permits is not before:
            self._count_anew(news)
        self.epoch = news.epoch
        if news.mode == Mode.GONE:
            self._changes.clear()
        self._changes.append(news)
        self.stock.return_kept(NEVER_NS)
        self.foresight.came_late()
        self.tell_ns = NEVER_NS
        if self._hand.size:
            self._hand.drop(news.from_ns)
            self._note_uncovered()

    def _count_anew(self, news: ThrottleMode) -> None:
        """A rate becomes a limit of concurrency, or back: the controller counts from 0 again."""
        self._first_epoch = news.epoch
        self.stock = PermitStock()
        self._hand.given_back_ns = 0
        self._seen = self._believed = self._back_told = 0

    def _give_back(self, from_ns: int) -> None:
        """Let others have the slots that are due at `from_ns` or later."""
        self._hand.give_back(from_ns)
        self.tell_ns = NEVER_NS

    def hear_ask_back(self) -> None:
        """Workers that have no slots should have some of these."""
        self._give_back(now_ns() + IN_TIME_NS + round_trip_ns())
        self._note_uncovered()

    def hear_tokens(self, tokens: Tokens) -> None:
        """Slots have come."""
        block = Block._make(tokens[1:])
        self._seen = block.number
        self.tell_ns = NEVER_NS
        self._believed = max(0, self._believed - block.size)
        void_ns = NEVER_NS
        for change in self._changes:
            if change.epoch > block.epoch:
                void_ns = change.from_ns
                break
        if block.due_ns < now_ns() + IN_TIME_NS:
            self.foresight.came_late()
        self._hand.put(block, void_ns, pause.clock.earlier_ns)

    def hear_permits(self, permits: Permits) -> None:
        """Permits have come."""
        self._seen = permits.number
        self.tell_ns = NEVER_NS
        self._believed = max(0, self._believed - permits.size)
        self.stock.idle.extend([Permit(permits.epoch, now_ns())] * permits.size)

    def give_back(self, permit: Permit) -> None:
        """A user is done."""
        if permit.epoch < self._first_epoch:
            return  # it limited a rate since
        self.stock.take_back(permit, now_ns(), permit.epoch == self.epoch, self.waiting > 0)

    def want(self, at_ns: int) -> Want:
        """What to tell the controller; it counts as told."""
        self.told_ns = at_ns
        far_apart = self._hand.spacing_ns >= FAR_APART_NS
        self.foresight.weigh(at_ns, self.waiting, round_trip_ns(), far_apart=far_apart)
        outstanding = self.outstanding
        given_back_ns, self._hand.given_back_ns = self._hand.given_back_ns, 0
        self._believed, self._back_told = outstanding, self.stock.back
        self._in_force_told = self._in_force
        return Want(
            name=self.name,
            epoch=self.epoch,
            seen=self._seen,
            outstanding=outstanding,
            waiting=self.waiting,
            since_ns=self._since_ns,
            back=self.stock.back,
            missed=self._late,
            in_force=self._in_force,
            given_back_ns=given_back_ns,
        )

    @property
    def outstanding(self) -> int:
        """What is wanted beyond what is in hand."""
        if self.mode is _OPEN and not self._changes:
            return 0
        if self.permits:
            return max(0, self.waiting - len(self.stock.idle))
        return max(0, self.waiting + self.foresight.foreseen - self._hand.size)

    def is_overdue(self, at_ns: int, after_ns: int) -> bool:
        """Whether something is wanted, and for so long nothing was there and nothing was told."""
        since_ns = max(self.told_ns, self._hand.covered_ns)
        return at_ns - since_ns > after_ns and self.epoch > 0 and self.outstanding > 0

    @property
    def speak_ns(self) -> int:
        """When to tell the controller what is wanted; never while it believes what is so."""
        if not self.epoch:
            return NEVER_NS
        if self._in_force > self._in_force_told or self._hand.given_back_ns:
            return self.told_ns + GAP_NS
        outstanding = self.outstanding
        if outstanding == self._believed and self.stock.back == self._back_told:
            return NEVER_NS
        known = 0 if self.permits else self._believed
        return report_ns(self.told_ns, self._hand, known, outstanding)

    # The loop

    def next_ns(self) -> int:
        """When `work` has something to do."""
        if self.stock.idle or (self.waiting and self.mode in _ALL_GO):
            return 0
        at_ns = self._hand.next_ns
        if self.stock.kept:
            at_ns = min(at_ns, self.stock.kept[0][0])
        return min(at_ns, self._changes[0].from_ns) if self._changes else at_ns

    def _apply_changes(self, at_ns: int) -> None:
        changes = self._changes
        while changes and changes[0].from_ns <= at_ns:
            change = changes.popleft()
            self.mode, self.permits = Mode(change.mode), change.permits
            self._applied = change.epoch, change.from_ns

    def work(self, at_ns: int, until_ns: int) -> int:
        """Let those pass whose time has come; not for longer than `until_ns`, if there are many.

        Returns:
            How many slots were used.
        """
        before = self.foresight.passed
        if self._changes:
            self._apply_changes(at_ns)
        if self._hand.next_ns <= at_ns:
            self._use_slots(at_ns, until_ns)
        if self.stock.kept:
            self.stock.return_kept(at_ns)
        if self.stock.idle:
            self._hand_out_permits(until_ns)
        if self.mode in _ALL_GO:
            self._release_all(until_ns)
        epoch, from_ns = self._applied
        if epoch > self._in_force and self._hand.next_ns >= from_ns:  # no slot of an older one
            self._in_force, self.tell_ns = epoch, NEVER_NS
        return self.foresight.passed - before

    def _use_slots(self, at_ns: int, until_ns: int) -> None:
        # The hot path: everything that happens for each token is here.
        hand, lateness, record = self._hand, self.lateness, self.record
        queue = self._queue
        heard = bool(THROTTLE_EXECUTE.heard)
        void = missed = 0
        while hand.next_ns <= at_ns < until_ns:
            due_ns, block, number, paused_before_ns = hand.take()
            if at_ns - due_ns > VOID_NS:
                void += 1
                # One that came due while the run stood still was meant for nobody.
                missed += self.every or pause.clock.earlier_ns == paused_before_ns
                continue
            while queue:
                waiter = queue.popleft()
                if not waiter.done:
                    break
            else:
                self.foresight.was_in_vain()
                if block.spacing_ns >= FAR_APART_NS or hand.covered_ns > due_ns + HORIZON_NS:
                    self._give_back(due_ns)
                    break
                missed += self.every
                continue
            self.waiting -= 1
            self._executions.cells[0] += 1  # before anything is done that a kill may come after
            self.foresight.passed += 1
            lateness.record_ns(at_ns - due_ns)
            if record is not None:
                record(self.name, block.epoch, number, due_ns, at_ns)
            if heard:
                self._tell_executed(waiter, at_ns - due_ns)
            try:
                waiter.give(due_ns)
            except BaseException:  # raised by a greenlet of the scenario
                get_hub().handle_error(waiter, *sys.exc_info())
            at_ns = now_ns()
        if missed:
            self._late += missed
            self._missed.inc(missed)
        if void:
            self.foresight.came_too_late()
            self._note_uncovered()

    def _note_uncovered(self) -> None:
        if self.waiting > self._hand.size:
            self._since_ns = now_ns()

    def _hand_out_permits(self, until_ns: int) -> None:
        stock = self.stock
        if self.mode is not Mode.RUN:
            stock.return_idle()
        while stock.idle and now_ns() < until_ns:
            waiter = self._first()
            if waiter is None:
                stock.return_idle()
                return
            self.handed = stock.idle.popleft()
            self._count_executed(waiter)
            self._call(waiter, now_ns())

    def _release_all(self, until_ns: int) -> None:
        while (at_ns := now_ns()) < until_ns and (waiter := self._first()) is not None:
            if self.mode is _GONE:
                self._call(waiter, ScenarioError(f"throttle {self.name} was stopped"))
            else:
                self._count_executed(waiter)
                self._call(waiter, at_ns)

    def _count_executed(self, waiter: Waiter[Token]) -> None:
        """Count who passes without a slot."""
        self._executions.inc()
        if THROTTLE_EXECUTE.heard:
            self._tell_executed(waiter, 0)

    def _tell_executed(self, waiter: Waiter[Token], late_ns: int) -> None:
        THROTTLE_EXECUTE(user_of(waiter), throttle=self.name, late_ns=late_ns)

    def _call(self, waiter: Waiter[Token], token: Token) -> None:
        try:
            waiter.give(token)
        except BaseException:
            get_hub().handle_error(waiter, *sys.exc_info())
