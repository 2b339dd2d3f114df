"""The gate: a worker's side of all throttles.

One timer serves all throttles: it is set to the earliest available slot, and its callback switches
to the users whose slots are due. It never fires early, and never runs for longer than `TURN_NS` at
a time, so that the event loop gets its turn. In a worker with more than 2,000 slots a second it
fires for several slots at once, at most once in `LULL_NS`: going to sleep and waking up costs a
process some 20 µs, while a passing user costs 3.

The controller learns the users' demand soon, but not user by user: reports are batched in the
outbox, and a throttle reports less often the more slots it has available, or while the controller
knows of more demand than it can meet.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from gevent import get_hub
from greenlet import greenlet

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import MS_NS, S_NS, US_NS
from amoc.base.clock import now_ns as monotonic_ns
from amoc.base.context import find
from amoc.base.errors import ClosedError
from amoc.base.ticks import to_next_tick_s
from amoc.base.timerfd import PreciseTimer
from amoc.ipc.messages.envelope import Part
from amoc.ipc.messages.throttle import (
    THROTTLE_TO_CONTROLLER,
    THROTTLE_TO_WORKER,
    AskBack,
    Permits,
    ThrottleMode,
    Tokens,
)
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.permit_stock import Permit
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.worker_queue import Record as RecordSlot
from amoc.throttle.worker_queue import WorkerQueue

TURN_NS = 2 * MS_NS
LULL_NS = 1_500 * US_NS
BUSY_NS = 500 * US_NS
"""Spacing of slots below which it pays to wait for the next one."""
STAY_BUSY_NS = 200 * MS_NS
_WEIGH_NS = 20 * MS_NS
PAUSED_NS = 20 * MS_NS
"""How often to check, while the run is paused, whether it still is."""
MAX_GONE = 1_000
"""Most stopped throttles to remember; fewer than the controller remembers epochs of."""
REMIND_S = 1.0
"""How often to repeat a demand to the controller, in case the message was lost."""


class Gate:
    """Lets this worker's users through all throttles.

    Attributes:
        holders: Permits of concurrency limits by the greenlet that holds them; mostly empty. A
            greenlet that ends with permits must give them back, see `iteration_ended`.
        on_crash: Receives the exception of a task that has passed a throttle.
        tasks: How many tasks wait for throttles.
        passed_in_a_row: Users that passed without waiting since the event loop's last turn.
        queues: The waiting users, by throttle name.
        gone: The last epochs of stopped throttles, by name.
    """

    def __init__(
        self,
        worker: WorkerId,
        outbox: Outbox,
        on_crash: Callable[[BaseException], object] = traceback.print_exception,
    ) -> None:
        """Create the gate of a worker.

        Args:
            worker: The worker.
            outbox: The queue for messages to the controller.
            on_crash: See the attribute.
        """
        self._worker = worker
        self._at_flush = outbox.at_flush
        self._send = outbox.sender(Part.THROTTLE, THROTTLE_TO_CONTROLLER)
        self.on_crash = on_crash
        self.tasks = self.passed_in_a_row = 0
        self._record: RecordSlot | None = None
        self._lateness = metrics.built_in(metrics.Timer, "token_lateness")
        self.queues: dict[str, WorkerQueue] = {}
        self.gone: dict[str, int] = {}
        self.holders: dict[greenlet, list[tuple[WorkerQueue, Permit]]] = {}
        self._heap: list[tuple[int, int, WorkerQueue]] = []
        self._order = count()
        self._alarm = PreciseTimer(self.ring)
        self._alarm_ns = NEVER_NS
        self._rung_ns = 0
        self._lull_ns = 0
        self._busy_until_ns = 0
        self._weighed_ns = 0
        self._passed = 0
        self._ringing = False
        self._working: WorkerQueue | None = None
        self._reports: list[tuple[int, int, WorkerQueue]] = []
        self._report_ns = NEVER_NS
        self._report_timer = get_hub().loop.timer(0)
        self._reminder = get_hub().loop.timer(to_next_tick_s(REMIND_S), REMIND_S)
        self._reminder.start(self._remind)

    def __repr__(self) -> str:
        waiting = sum(one.waiting for one in self.queues.values())
        return f"<gate of {self._worker}: {len(self.queues)} throttles, {waiting} waiting>"

    def record_slots(self, record: RecordSlot | None) -> None:
        """Pass each slot used from now on to `record`; for tests and benchmarks."""
        self._record = record
        for queue in self.queues.values():
            queue.record = record

    def close(self) -> None:
        """Stop letting users pass."""
        self._alarm.close()
        self._reminder.stop()
        self._report_timer.stop()

    # Users

    def find(self, name: str) -> WorkerQueue | None:
        """Return this worker's queue for throttle `name`, if the controller has announced it."""
        queue = self.queues.get(name)
        return queue if queue is not None and queue.epoch else None

    def queue(self, name: str) -> WorkerQueue:
        """Return the queue for throttle `name`; a new one holds all users until it is announced."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = WorkerQueue(
                name, self._lateness, self._record, self._update
            )
        return queue

    def hold(self, holder: greenlet, queue: WorkerQueue) -> Permit:
        """Record that `holder` has just passed `queue` and holds its permit; return the permit."""
        permit = queue.handed
        assert permit is not None
        queue.handed = None
        self.holders.setdefault(holder, []).append((queue, permit))
        return permit

    def give_back(self, holder: greenlet, queue: WorkerQueue, permit: Permit) -> None:
        """Give back `holder`'s permit, unless that has happened already."""
        held = self.holders.get(holder)
        if held is None or (queue, permit) not in held:
            return  # its iteration has ended meanwhile, which gave the permit back
        held.remove((queue, permit))
        if not held:
            del self.holders[holder]
        queue.give_back(permit)
        self._update(queue)

    def iteration_ended(self, user: greenlet) -> None:
        """Give back all permits that `user` still holds, if any."""
        for queue, permit in self.holders.pop(user, ()):
            queue.give_back(permit)
            self._update(queue)

    # The controller

    def handle(self, body: bytes | memoryview) -> None:
        """Process the controller's messages: slots, permits, changes, and answers to `find`.

        Raises:
            PeerError: A message is malformed.
        """
        for record in THROTTLE_TO_WORKER.unpack_stream(body):
            match record:
                case Tokens(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.receive_tokens(record)
                case Permits(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.receive_permits(record)
                case AskBack(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.receive_ask_back()
                case ThrottleMode(name):
                    if record.epoch <= self.gone.get(name, 0):
                        continue  # an answer that arrived after the throttle had been stopped
                    queue = self.queue(name)
                    queue.receive_mode(record)
                    if record.mode == Mode.GONE:
                        self._forget(record)
            if queue is not None:
                self._update(queue)

    def _forget(self, gone: ThrottleMode) -> None:
        """Remove a stopped throttle; the timer turns away the users that wait in its queue."""
        del self.queues[gone.name]
        self.gone.pop(gone.name, None)
        self.gone[gone.name] = gone.epoch
        if len(self.gone) > MAX_GONE:
            del self.gone[next(iter(self.gone))]

    def _update(self, queue: WorkerQueue) -> None:
        """Update the timer, and schedule a report, after a change in `queue`."""
        if queue is self._working:
            return  # a user that returned right after passing; handled with all the others
        queue.gauge.cells[0] = queue.waiting
        # Work that can be done at once is due now. Due at 0, it would come before the slots of all
        # other throttles for as long as any user waits.
        at_ns = queue.next_ns() or monotonic_ns()
        if at_ns < queue.armed_ns:
            queue.armed_ns = at_ns
            heappush(self._heap, (at_ns, next(self._order), queue))
            if at_ns < self._alarm_ns and not self._ringing:
                self._set_alarm()
        if queue.report_at_ns == NEVER_NS and (report_due_ns := queue.report_due_ns) < NEVER_NS:
            queue.report_at_ns = report_due_ns
            heappush(self._reports, (report_due_ns, next(self._order), queue))
            if report_due_ns < self._report_ns:
                self._set_report_timer()

    def _set_report_timer(self) -> None:
        """Schedule the first report; queues that reported a moment ago must wait."""
        self._report_ns = self._reports[0][0] if self._reports else NEVER_NS
        self._report_timer.stop()
        if not self._reports:
            return
        wait_ns = self._report_ns - monotonic_ns()
        if wait_ns <= 0:
            self._at_flush(self._report)
        else:
            self._report_timer.close()
            self._report_timer = get_hub().loop.timer(wait_ns / S_NS)
            self._report_timer.start(self._at_flush, self._report)

    def _report(self) -> None:
        """Report the users' demand to the controller."""
        now_ns = monotonic_ns()
        reports = self._reports
        while reports and reports[0][0] <= now_ns:
            report_at_ns, _, queue = heappop(reports)
            if queue.report_at_ns != report_at_ns:
                continue  # rescheduled, or already reported
            queue.report_at_ns = NEVER_NS
            if queue.report_due_ns < NEVER_NS:
                self._send(self._worker, queue.want(now_ns))
        self._set_report_timer()

    def _remind(self) -> None:
        now_ns = monotonic_ns()
        for queue in self.queues.values():
            if queue.is_overdue(now_ns, int(REMIND_S * S_NS)):
                self._send(self._worker, queue.want(now_ns))

    # The loop

    def ring(self) -> None:
        """Timer callback: let the users pass whose slots are due."""
        now_ns = monotonic_ns()
        if pause.clock.since_ns:
            self._alarm_ns = now_ns + PAUSED_NS
            self._alarm.set(self._alarm_ns)
            return
        heap, until_ns = self._heap, now_ns + TURN_NS
        self._ringing = True
        try:
            while heap and heap[0][0] <= now_ns < until_ns:
                at_ns, _, queue = heappop(heap)
                if queue.armed_ns != at_ns:
                    continue  # handled already
                queue.armed_ns = NEVER_NS
                self._working = queue
                self._passed += queue.work(now_ns, until_ns)
                self._working = None
                self._update(queue)
                now_ns = monotonic_ns()
        finally:
            self._ringing, self._working = False, None
            self._rung_ns = now_ns
            if now_ns - self._weighed_ns > _WEIGH_NS:
                # A worker may get all slots for a while, and then none while others get some.
                if self._passed * BUSY_NS > now_ns - self._weighed_ns:
                    self._busy_until_ns = now_ns + STAY_BUSY_NS
                self._lull_ns = LULL_NS if now_ns < self._busy_until_ns else 0
                self._weighed_ns, self._passed = now_ns, 0
            self._set_alarm()

    def _set_alarm(self) -> None:
        heap = self._heap
        at_ns = max(heap[0][0], self._rung_ns + self._lull_ns) if heap else NEVER_NS
        if at_ns != self._alarm_ns:  # during a lull most due times fall on the same alarm
            self._alarm_ns = at_ns
            self._alarm.set(at_ns)


def current() -> Gate:
    """Return the gate of this process's worker.

    Raises:
        ClosedError: There is none.
    """
    gate = find(Gate)
    if gate is None:
        raise ClosedError(
            "only users of a run can wait for throttles, and not init(); to try a scenario, use"
            " amoc check --run"
        )
    return gate
