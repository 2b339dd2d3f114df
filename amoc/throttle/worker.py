"""The gate: a worker's end of all throttles.

One alarm serves them all: it is set to the earliest slot in hand, and its callback switches into
the users whose time has come. Never early; and never for longer than `TURN_NS` at a stretch, so
that the loop turns. Where a worker has more than 2,000 slots a second the alarm rings for several
together, at most once in `LULL_NS`: going to sleep and waking up costs a process some 20 µs, a user
that passes costs 3.

What users want is told to the controller soon, but not for each of them: reports gather in the
outbox, and a throttle speaks less often the more slots it has in hand, or when the controller knows
anyway of more than it can meet.
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
from amoc.base.moments import to_next_s
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
"""Between two slots, below which it pays to wait for company."""
STAY_BUSY_NS = 200 * MS_NS
_WEIGH_NS = 20 * MS_NS
PAUSED_NS = 20 * MS_NS
"""While the run is paused, how often is looked whether it still is."""
MAX_GONE = 1_000
"""How many stopped throttles are remembered; fewer than the controller remembers the epochs of."""
REMIND_S = 1.0
"""How often the controller is told again what is wanted, in case it has not heard."""


class Gate:
    """Lets this worker's users through all throttles.

    Attributes:
        holders: Which greenlets hold permits of throttles that limit how many pass at the same
            time; empty most of the time. Who ends with permits must give them back, see
            `iteration_ended`.
        on_crash: Told what a task raised that has passed a throttle.
        tasks: Those that wait for a throttle.
        passed_in_a_row: Users that had nothing to wait for, since the loop has turned.
        queues: Who waits for what, by the throttle's name.
        gone: The last epochs of throttles that were stopped, by name.
    """

    def __init__(
        self,
        worker: WorkerId,
        outbox: Outbox,
        on_crash: Callable[[BaseException], object] = traceback.print_exception,
    ) -> None:
        """Be the gate of a worker.

        Args:
            worker: Which one.
            outbox: What to tell the controller with.
            on_crash: See the attribute.
        """
        self._worker = worker
        self._at_flush = outbox.at_flush
        self._say = outbox.sender(Part.THROTTLE, THROTTLE_TO_CONTROLLER)
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
        self._telling: list[tuple[int, int, WorkerQueue]] = []
        self._speak_ns = NEVER_NS
        self._speak = get_hub().loop.timer(0)
        self._reminder = get_hub().loop.timer(to_next_s(REMIND_S), REMIND_S)
        self._reminder.start(self._remind)

    def __repr__(self) -> str:
        waiting = sum(one.waiting for one in self.queues.values())
        return f"<gate of {self._worker}: {len(self.queues)} throttles, {waiting} waiting>"

    def record_slots(self, record: RecordSlot | None) -> None:
        """Let `record` get each slot that is used from now on; for tests and benchmarks."""
        self._record = record
        for queue in self.queues.values():
            queue.record = record

    def close(self) -> None:
        """Let nobody pass any more."""
        self._alarm.close()
        self._reminder.stop()
        self._speak.stop()

    # Users

    def find(self, name: str) -> WorkerQueue | None:
        """Throttle `name` here, if the controller has told of it."""
        queue = self.queues.get(name)
        return queue if queue is not None and queue.epoch else None

    def queue(self, name: str) -> WorkerQueue:
        """The throttle `name` here, made if it was not heard of; then it holds everybody."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = WorkerQueue(
                name, self._lateness, self._record, self._attend
            )
        return queue

    def hold(self, holder: greenlet, queue: WorkerQueue) -> Permit:
        """`holder` has just passed `queue`, and holds its permit from now on."""
        permit = queue.handed
        assert permit is not None
        queue.handed = None
        self.holders.setdefault(holder, []).append((queue, permit))
        return permit

    def give_back(self, holder: greenlet, queue: WorkerQueue, permit: Permit) -> None:
        """`holder` is done with what it held `permit` for."""
        held = self.holders.get(holder)
        if held is None or (queue, permit) not in held:
            return  # its iteration has ended meanwhile, and the permit with it
        held.remove((queue, permit))
        if not held:
            del self.holders[holder]
        queue.give_back(permit)
        self._attend(queue)

    def iteration_ended(self, user: greenlet) -> None:
        """`user` gives back all permits it still holds; nothing happens if it holds none."""
        for queue, permit in self.holders.pop(user, ()):
            queue.give_back(permit)
            self._attend(queue)

    # The controller

    def hear(self, body: bytes | memoryview) -> None:
        """The controller has dealt, or changed a throttle, or has told of one that was asked for.

        Raises:
            PeerError: It said something that makes no sense.
        """
        for record in THROTTLE_TO_WORKER.unpack_stream(body):
            match record:
                case Tokens(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.hear_tokens(record)
                case Permits(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.hear_permits(record)
                case AskBack(name):
                    queue = self.queues.get(name)
                    if queue is not None:
                        queue.hear_ask_back()
                case ThrottleMode(name):
                    if record.epoch <= self.gone.get(name, 0):
                        continue  # an answer that was overtaken by the end of the throttle
                    queue = self.queue(name)
                    queue.hear_mode(record)
                    if record.mode == Mode.GONE:
                        self._forget(record)
            if queue is not None:
                self._attend(queue)

    def _forget(self, gone: ThrottleMode) -> None:
        """A throttle is stopped; those that wait in its queue are turned away by the timer."""
        del self.queues[gone.name]
        self.gone.pop(gone.name, None)
        self.gone[gone.name] = gone.epoch
        if len(self.gone) > MAX_GONE:
            del self.gone[next(iter(self.gone))]

    def _attend(self, queue: WorkerQueue) -> None:
        """Something has changed: see to the alarm, and to what the controller must know."""
        if queue is self._working:
            return  # a user that comes back right after it has passed; done with all others
        queue.gauge.cells[0] = queue.waiting
        # What can be done at once is due now: were it due at 0, it would come before all slots of
        # the others for as long as anybody waits for it.
        at_ns = queue.next_ns() or monotonic_ns()
        if at_ns < queue.armed_ns:
            queue.armed_ns = at_ns
            heappush(self._heap, (at_ns, next(self._order), queue))
            if at_ns < self._alarm_ns and not self._ringing:
                self._set_alarm()
        if queue.tell_ns == NEVER_NS and (speak_ns := queue.speak_ns) < NEVER_NS:
            queue.tell_ns = speak_ns
            heappush(self._telling, (speak_ns, next(self._order), queue))
            if speak_ns < self._speak_ns:
                self._set_speak()

    def _set_speak(self) -> None:
        """Tell when the first has something to tell; those that spoke a moment ago must wait."""
        self._speak_ns = self._telling[0][0] if self._telling else NEVER_NS
        self._speak.stop()
        if not self._telling:
            return
        wait_ns = self._speak_ns - monotonic_ns()
        if wait_ns <= 0:
            self._at_flush(self._tell)
        else:
            self._speak.close()
            self._speak = get_hub().loop.timer(wait_ns / S_NS)
            self._speak.start(self._at_flush, self._tell)

    def _tell(self) -> None:
        """Tell the controller what is wanted."""
        now_ns = monotonic_ns()
        telling = self._telling
        while telling and telling[0][0] <= now_ns:
            tell_ns, _, queue = heappop(telling)
            if queue.tell_ns != tell_ns:
                continue  # it has something more urgent to tell, or has told it
            queue.tell_ns = NEVER_NS
            if queue.speak_ns < NEVER_NS:
                self._say(self._worker, queue.want(now_ns))
        self._set_speak()

    def _remind(self) -> None:
        now_ns = monotonic_ns()
        for queue in self.queues.values():
            if queue.is_overdue(now_ns, int(REMIND_S * S_NS)):
                self._say(self._worker, queue.want(now_ns))

    # The loop

    def ring(self) -> None:
        """The alarm has rung: let those pass whose time has come."""
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
                    continue  # it has been attended to before
                queue.armed_ns = NEVER_NS
                self._working = queue
                self._passed += queue.work(now_ns, until_ns)
                self._working = None
                self._attend(queue)
                now_ns = monotonic_ns()
        finally:
            self._ringing, self._working = False, None
            self._rung_ns = now_ns
            if now_ns - self._weighed_ns > _WEIGH_NS:
                # A worker may get all slots for a while, and then none while others do.
                if self._passed * BUSY_NS > now_ns - self._weighed_ns:
                    self._busy_until_ns = now_ns + STAY_BUSY_NS
                self._lull_ns = LULL_NS if now_ns < self._busy_until_ns else 0
                self._weighed_ns, self._passed = now_ns, 0
            self._set_alarm()

    def _set_alarm(self) -> None:
        heap = self._heap
        at_ns = max(heap[0][0], self._rung_ns + self._lull_ns) if heap else NEVER_NS
        if at_ns != self._alarm_ns:  # in a lull most of what is armed rings together
            self._alarm_ns = at_ns
            self._alarm.set(at_ns)


def current() -> Gate:
    """The gate of this process's worker.

    Raises:
        ClosedError: It has none.
    """
    gate = find(Gate)
    if gate is None:
        raise ClosedError(
            "throttles can be waited for only in a run, and not in init(); to try it, use"
            " amoc check --run"
        )
    return gate
