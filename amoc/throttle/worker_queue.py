"""A worker's side of one throttle: its waiting users, in order, and the available slots.

Slots arrive from the controller in blocks. Each is released at its time to the user that has waited
longest. A slot that finds no user is lost or, where slots are far apart or were dealt far ahead, is
given back with all later ones. A slot more than `VOID_NS` late is void: it is requested again, and
counted as missed unless the whole run was paused meanwhile. Changes of the throttle arrive ahead of
time: slots that a change makes void are dropped on arrival, everything else happens at its time.

Each waiter receives its token, the intended time or an error, within the callback of the event
loop's timer. A waiter that is done has given up, and is skipped when its turn comes.
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
from amoc.throttle.blocks import Block, SlotStock
from amoc.throttle.demand import GAP_NS, Foresight, NoForesight, report_ns
from amoc.throttle.permit_stock import Permit, PermitStock
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_allocator import FAR_APART_NS, HORIZON_NS, VOID_NS
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.token_waiter import Token, user_of

Record = Callable[[str, int, int, int, int], None]
"""Receives each used slot: throttle, epoch, slot, when it was due, when it was used (both ns)."""

# An enum member is looked up again at each use, and these are used with each slot.
_OPEN, _GONE = Mode.OPEN, Mode.GONE
_ALL_GO = (_OPEN, _GONE)
IN_TIME_NS = 20 * MS_NS
"""How long before its time a slot must arrive so as not to be late on a busy machine."""


class WorkerQueue:
    """Lets users of this worker through one throttle.

    Attributes:
        name: The throttle's name.
        epoch: The newest one received; 0 before the controller has announced the throttle.
        permits: Whether it limits concurrency.
        mode: What it does with waiting users.
        waiting: How many users wait.
        handed: The permit of the user that passed last.
        armed_ns: When the gate will call `work`.
        report_at_ns: When the gate will call `want`; `NEVER_NS` if that must be decided again.
        reported_ns: Time of the last report to the controller.
        record: Receives each used slot, if set.
        stock: Permits that no user of this worker holds.
        gauge: The metric of waiting users.
        foresight: Decides how many slots to request ahead.
        lateness: Records how late slots are used.
        every: Whether each slot counts, as with an arrival rate: an unused one counts as missed.
        load_ns: See `ThrottleMode`.
    """

    def __init__(
        self,
        name: str,
        lateness: metrics.Timer,
        record: Record | None,
        on_change: Callable[[WorkerQueue], object] = lambda _: None,
    ) -> None:
        """Start in mode HELD. `on_change` is called whenever a user starts or stops waiting."""
        self.name = name
        self._on_change = on_change
        self.epoch = 0
        self._first_epoch = 0  # first one of the present kind, slots or permits
        self._in_force = self._in_force_reported = 0
        self._applied = (0, 0)  # the newest change that has been applied: epoch, time
        self.load_ns = 0
        self.permits = self.every = False
        self.waiting = 0
        self.handed: Permit | None = None
        self.armed_ns = NEVER_NS
        self.report_at_ns, self.reported_ns = NEVER_NS, 0
        self.mode = Mode.HELD
        self._changes: deque[ThrottleMode] = deque()
        self._queue: deque[Waiter[Token]] = deque()
        self._slots = SlotStock()
        self.stock = PermitStock()
        self._seen = self._back_reported = self._late = 0
        self._known_demand = 0  # demand that the controller assumes
        self._since_ns = 0
        self.foresight: Foresight | NoForesight = Foresight()
        self.lateness = lateness
        self.record = record
        meters = optional.throttle(name)
        self._requests, self._executions = meters.requests, meters.executions
        self._missed, self.gauge = meters.missed, meters.waiting
        self.gauge.set(0)

    def __repr__(self) -> str:
        what = f"{self.waiting} waiting, {self._slots.size} slots available"
        return f"<queue {self.name}, {self.mode}: {what}>"

    # Users

    def is_open(self, at_ns: int) -> bool:
        """Return whether everybody may pass."""
        if self._changes and self._changes[0].from_ns <= at_ns:
            self._apply_changes(at_ns)
        return self.mode is _OPEN

    def enter(self, waiter: Waiter[Token]) -> int | None:
        """Queue `waiter`, which will receive a token or an `AmocError` in the hub.

        Returns:
            The token, its intended time in ns, if there is no need to wait; else None.
        """
        self._requests.cells[0] += 1
        if THROTTLE_REQUEST.subscribers:
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
        if self.waiting == self._slots.size + 1:
            self._since_ns = now_ns()
        self._on_change(self)
        return None

    def leave(self, waiter: Waiter[Token]) -> None:
        """Remove `waiter`, which was queued and has not received a token."""
        # Removing it from the deque would make the end of a run with many waiters quadratic.
        waiter.done = True
        self.waiting -= 1
        if len(self._queue) > 2 * self.waiting + 64:
            live = [one for one in self._queue if not one.done]
            self._queue.clear()
            self._queue.extend(live)
        self._on_change(self)

    def _first(self) -> Waiter[Token] | None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done:
                self.waiting -= 1
                return waiter
        return None

    # The controller

    def receive_mode(self, news: ThrottleMode) -> None:
        """Process a change of the throttle."""
        if news.epoch <= self.epoch:
            return  # known: both an answer and an envelope may have brought it
        if not self.epoch:
            self.permits = news.permits
        before = self._changes[-1].permits if self._changes else self.permits
        if news.permits is not before:
            self._reset_counts(news)
        self.epoch = news.epoch
        if news.mode == Mode.GONE:
            self._changes.clear()
        self._changes.append(news)
        self.stock.return_kept(NEVER_NS)
        self.foresight.came_late()
        self.report_at_ns = NEVER_NS
        if self._slots.size:
            self._slots.drop(news.from_ns)
            self._note_uncovered()

    def _reset_counts(self, news: ThrottleMode) -> None:
        """Reset the counts after a switch between rate and concurrency, as the controller does."""
        self._first_epoch = news.epoch
        self.stock = PermitStock()
        self._slots.given_back_ns = 0
        self._seen = self._known_demand = self._back_reported = 0

    def _give_back(self, from_ns: int) -> None:
        """Give back the slots due at `from_ns` or later, for other workers."""
        self._slots.give_back(from_ns)
        self.report_at_ns = NEVER_NS

    def receive_ask_back(self) -> None:
        """Give back later slots, for workers that have none."""
        self._give_back(now_ns() + IN_TIME_NS + round_trip_ns())
        self._note_uncovered()

    def receive_tokens(self, tokens: Tokens) -> None:
        """Process slots from the controller."""
        block = Block._make(tokens[1:])
        self._seen = block.number
        self.report_at_ns = NEVER_NS
        self._known_demand = max(0, self._known_demand - block.size)
        void_ns = NEVER_NS
        for change in self._changes:
            if change.epoch > block.epoch:
                void_ns = change.from_ns
                break
        if block.due_ns < now_ns() + IN_TIME_NS:
            self.foresight.came_late()
        self._slots.put(block, void_ns, pause.clock.earlier_ns)

    def receive_permits(self, permits: Permits) -> None:
        """Process permits from the controller."""
        self._seen = permits.number
        self.report_at_ns = NEVER_NS
        self._known_demand = max(0, self._known_demand - permits.size)
        self.stock.idle.extend([Permit(permits.epoch, now_ns())] * permits.size)

    def give_back(self, permit: Permit) -> None:
        """Take back a user's permit."""
        if permit.epoch < self._first_epoch:
            return  # from before it limited a rate
        self.stock.take_back(permit, now_ns(), permit.epoch == self.epoch, self.waiting > 0)

    def want(self, at_ns: int) -> Want:
        """Build a report for the controller, and record it as sent."""
        self.reported_ns = at_ns
        far_apart = self._slots.spacing_ns >= FAR_APART_NS
        self.foresight.update(at_ns, self.waiting, round_trip_ns(), far_apart=far_apart)
        outstanding = self.outstanding
        given_back_ns, self._slots.given_back_ns = self._slots.given_back_ns, 0
        self._known_demand, self._back_reported = outstanding, self.stock.back
        self._in_force_reported = self._in_force
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
        """How many slots or permits are wanted beyond those available."""
        if self.mode is _OPEN and not self._changes:
            return 0
        if self.permits:
            return max(0, self.waiting - len(self.stock.idle))
        return max(0, self.waiting + self.foresight.foreseen - self._slots.size)

    def is_overdue(self, at_ns: int, after_ns: int) -> bool:
        """Return whether a demand has been neither met nor reported for `after_ns`."""
        since_ns = max(self.reported_ns, self._slots.covered_ns)
        return at_ns - since_ns > after_ns and self.epoch > 0 and self.outstanding > 0

    @property
    def report_due_ns(self) -> int:
        """When to report to the controller; `NEVER_NS` while its figures are correct."""
        if not self.epoch:
            return NEVER_NS
        if self._in_force > self._in_force_reported or self._slots.given_back_ns:
            return self.reported_ns + GAP_NS
        outstanding = self.outstanding
        if outstanding == self._known_demand and self.stock.back == self._back_reported:
            return NEVER_NS
        known = 0 if self.permits else self._known_demand
        return report_ns(self.reported_ns, self._slots, known, outstanding)

    # The loop

    def next_ns(self) -> int:
        """Return when `work` has something to do."""
        if self.stock.idle or (self.waiting and self.mode in _ALL_GO):
            return 0
        at_ns = self._slots.next_ns
        if self.stock.kept:
            at_ns = min(at_ns, self.stock.kept[0][0])
        return min(at_ns, self._changes[0].from_ns) if self._changes else at_ns

    def _apply_changes(self, at_ns: int) -> None:
        changes = self._changes
        while changes and changes[0].from_ns <= at_ns:
            change = changes.popleft()
            self.mode, self.permits = Mode(change.mode), change.permits
            self.load_ns = change.load_ns
            self._applied = change.epoch, change.from_ns

    def work(self, at_ns: int, until_ns: int) -> int:
        """Let users pass whose slots are due, until `until_ns` at the latest.

        Returns:
            How many slots were used.
        """
        before = self.foresight.passed
        if self._changes:
            self._apply_changes(at_ns)
        if self._slots.next_ns <= at_ns:
            self._use_slots(at_ns, until_ns)
        if self.stock.kept:
            self.stock.return_kept(at_ns)
        if self.stock.idle:
            self._hand_out_permits(until_ns)
        if self.mode in _ALL_GO:
            self._release_all(until_ns)
        epoch, from_ns = self._applied
        if epoch > self._in_force and self._slots.next_ns >= from_ns:  # no slot of an older epoch
            self._in_force, self.report_at_ns = epoch, NEVER_NS
        return self.foresight.passed - before

    def _use_slots(self, at_ns: int, until_ns: int) -> None:
        # The hot path: all the work for each token is here.
        slots, lateness, record = self._slots, self.lateness, self.record
        queue = self._queue
        heard = bool(THROTTLE_EXECUTE.subscribers)
        void = missed = 0
        while slots.next_ns <= at_ns < until_ns:
            due_ns, block, number, paused_before_ns = slots.take()
            if at_ns - due_ns > VOID_NS:
                void += 1
                # A slot that came due while the run was paused was meant for nobody.
                missed += self.every or pause.clock.earlier_ns == paused_before_ns
                continue
            while queue:
                waiter = queue.popleft()
                if not waiter.done:
                    break
            else:
                self.foresight.was_unused()
                if block.spacing_ns >= FAR_APART_NS or slots.covered_ns > due_ns + HORIZON_NS:
                    self._give_back(due_ns)
                    break
                missed += self.every
                continue
            self.waiting -= 1
            self._executions.cells[0] += 1  # first of all: a kill may follow at any point
            self.foresight.passed += 1
            lateness.record_ns(at_ns - due_ns)
            if record is not None:
                record(self.name, block.epoch, number, due_ns, at_ns)
            if heard:
                self._fire_executed(waiter, at_ns - due_ns)
            try:
                waiter.give(due_ns)
            except BaseException:  # from a greenlet of the scenario
                get_hub().handle_error(waiter, *sys.exc_info())
            at_ns = now_ns()
        if missed:
            self._late += missed
            self._missed.inc(missed)
        if void:
            self.foresight.came_too_late()
            self._note_uncovered()

    def _note_uncovered(self) -> None:
        if self.waiting > self._slots.size:
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
        """Count a user that passes without a slot."""
        self._executions.inc()
        if THROTTLE_EXECUTE.subscribers:
            self._fire_executed(waiter, 0)

    def _fire_executed(self, waiter: Waiter[Token], late_ns: int) -> None:
        THROTTLE_EXECUTE(user_of(waiter), throttle=self.name, late_ns=late_ns)

    def _call(self, waiter: Waiter[Token], token: Token) -> None:
        try:
            waiter.give(token)
        except BaseException:
            get_hub().handle_error(waiter, *sys.exc_info())
