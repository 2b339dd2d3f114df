"""The pacer: the controller's side of all throttles.

It keeps the state of each (`amoc.throttle.throttle`), receives the workers' demand, and deals
slots: at once if a report asks for slots due within half the horizon, otherwise when the next slots
come that close. One greenlet sleeps until the earliest throttle is due, so a thousand idle
throttles cost nothing.

`post` batches the messages to one worker within one pass of the event loop: all that a tick deals
to a worker is one message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf

from amoc.base.clock import MS_NS, S_NS
from amoc.base.clock import now_ns as monotonic_ns
from amoc.base.errors import ScenarioError, UsageError
from amoc.base.node_latency import NodeLatency
from amoc.base.operator_log import OperatorLog
from amoc.base.text import counted
from amoc.base.waiting import Notify
from amoc.ipc.messages.throttle import THROTTLE_TO_CONTROLLER, THROTTLE_TO_WORKER, ThrottleToWorker
from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.throttle_counts import MAX_THROTTLES
from amoc.scenario.arrivals import check_rate
from amoc.scenario.events import THROTTLE_INIT, THROTTLE_RATE, THROTTLE_STOP
from amoc.throttle import calls, parse_profile
from amoc.throttle.calls import OWN
from amoc.throttle.due_times import DueTimes
from amoc.throttle.in_force import InForce
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.throttle import Taken, Throttle, ThrottleState

MAX_NAMED = 20
"""Most throttles named in an error."""
NOTHING = Taken(0.0, 0)
IN_FORCE_S = 10.0
"""How long an operator's change waits for the workers to confirm it."""
_TICK_NS = 10 * MS_NS
"""Deals that no report has just asked for happen at multiples of this, many throttles together."""

_log = logging.getLogger(__name__)


class Pacer:
    """Deals the slots of all throttles.

    Attributes:
        operations: Calls for scenarios and operators, for `amoc.ipc.rpc.RpcServer`.
    """

    def __init__(
        self,
        post: Callable[[WorkerId, ThrottleToWorker], None],
        now: Callable[[], int] = monotonic_ns,
        rates: Mapping[str, str] | None = None,
        operator: OperatorLog | None = None,
        latency: NodeLatency | None = None,
    ) -> None:
        """Create a pacer without throttles.

        Args:
            post: Queues a message for a worker.
            now: The clock.
            rates: The operator's initial rates, as text, by throttle name.
            operator: Receives a notice for each throttle that starts with a rate from `rates`.
            latency: Round-trip time to the farthest node.
        """
        self._post = post
        self._now = now
        self._rates = dict(rates or {})
        self._operator = operator or OperatorLog()
        self._latency = latency or NodeLatency()
        self.throttles: dict[str, Throttle[WorkerId]] = {}
        self._shapes: dict[str, tuple[object, float]] = {}
        self._last_epochs: dict[str, int] = {}
        self._stopped: dict[str, Taken] = {}  # counts of stopped throttles, not yet taken
        self._workers: dict[WorkerId, None] = {}
        self._run_is_paused = False
        self._in_force = InForce(self._workers.keys())
        self._due = DueTimes()
        self._bell = Notify()
        self.operations = calls.operations(self)

    def __repr__(self) -> str:
        return f"<pacer of {counted(len(self.throttles), 'throttle')}>"

    # Events

    def run(self) -> None:
        """Deal due slots forever. Runs in its own greenlet."""
        while True:
            self.tick()
            now_ns = self._now()
            due_ns = self._due.next_ns
            self._bell.wait(inf if due_ns is None else max(due_ns - now_ns, MS_NS) / S_NS)

    def tick(self) -> None:
        """Deal the slots of throttles that are due now."""
        now_ns = self._now()
        for name in self._due.pop(now_ns):
            self._deal(self.throttles[name], now_ns, now_ns)

    def handle(self, origin: WorkerId, body: bytes | memoryview) -> None:
        """Process a worker's reports of its users' demand.

        Raises:
            PeerError: The message is malformed.
        """
        if origin not in self._workers:
            return  # a late message of a lost worker, whose slots were taken back
        now_ns = self._now()
        touched: dict[str, Throttle[WorkerId]] = {}
        for record in THROTTLE_TO_CONTROLLER.unpack_stream(body):
            throttle = self.throttles.get(record.name)
            if throttle is not None:
                throttle.want(origin, record, now_ns)
                touched[record.name] = throttle
        for throttle in touched.values():
            if self._in_force.awaited:
                self._in_force.check(throttle)
            self._deal(throttle, now_ns, throttle.next_ns(now_ns))

    def worker_up(self, origin: WorkerId) -> None:
        """Add a worker, and send it the state of all throttles."""
        self._workers[origin] = None
        now_ns = self._now()
        for throttle in self.throttles.values():
            for mode in throttle.whole_state(now_ns):
                self._post(origin, mode)

    def worker_lost(self, origin: WorkerId, passed: Mapping[str, int] | None = None) -> None:
        """Remove a worker, and deal the slots that it cannot have used to others.

        Args:
            origin: The worker.
            passed: How many slots it has used or counted as missed, by throttle; needed for
                throttles started with `every`.
        """
        if origin not in self._workers:
            return
        del self._workers[origin]
        now_ns = self._now()
        for name, throttle in self.throttles.items():
            throttle.lost(origin, now_ns, (passed or {}).get(name, 0))
            self._deal(throttle, now_ns, throttle.next_ns(now_ns))
            self._in_force.check(throttle)

    def begin(self) -> None:
        """Allow users to start."""
        self._stopped.clear()
        for name in self.throttles:
            self.change(name, Throttle.begin)

    def pause_run(self) -> None:
        """Pause all throttles with the run."""
        self._run_is_paused = True
        for name, throttle in self.throttles.items():
            self.change(name, Throttle.pause_run)
            self._in_force.check(throttle)

    def resume_run(self) -> None:
        """Resume all throttles with the run."""
        self._run_is_paused = False
        for name in self.throttles:
            self.change(name, Throttle.resume_run)

    # Calls

    def start(
        self, name: str, shape: object, interval_s: float = 60.0, *, every: bool = False
    ) -> None:
        """Start a throttle; for `shape` see `amoc.throttle.parse_profile`.

        With `every`, slots that nobody takes are counted, as an arrival rate requires.

        Raises:
            ScenarioError: An argument is invalid, or a throttle of that name is running.
        """
        parse_profile.check_name(name)
        if name in self.throttles:
            raise ScenarioError(f"throttle {name} is already started")
        started = len(self.throttles) - sum(own in self.throttles for own in OWN)
        if started >= MAX_THROTTLES and name not in OWN:
            raise ScenarioError(
                f"throttle {name} cannot be started: a run has at most {MAX_THROTTLES:,} throttles"
                f" besides {', '.join(OWN)}, and that many are running"
            )
        interval_s = parse_profile.check_interval(name, interval_s)
        profile = parse_profile.build(name, shape, interval_s)
        if name in self._rates:
            text = self._rates[name]
            profile = parse_profile.from_text(name, text, interval_s, f"--throttle {name}=…")
            self._operator.info(f"throttle {name} is started with {text} (from --throttle)")
        now_ns = self._now()
        epoch = self._last_epochs.pop(name, 0) + 1
        throttle = Throttle[WorkerId](
            name, profile, interval_s, epoch, now_ns, self._latency, every=every
        )
        self.throttles[name] = throttle
        self._shapes[name] = (shape, interval_s)
        self._broadcast(throttle.newest_change())
        rate = throttle.value_at(now_ns)
        _log.info("throttle %s is started with %g per %g s", name, rate, interval_s)
        THROTTLE_INIT(throttle=name, rate=rate, interval_s=interval_s)
        if self._run_is_paused:
            self.change(name, Throttle.pause_run)

    def end(self, name: str, at_ns: int) -> Later | None:
        """Let nobody pass from `at_ns` on; return a reply for when that holds, None if it does."""
        self.change(name, lambda one, now_ns: one.end(at_ns, now_ns))
        return self.when_in_force(name)

    def stop(self, name: str) -> None:
        """Stop a throttle; its waiting users get an error.

        Raises:
            ScenarioError: There is no throttle of that name.
        """
        throttle = self.find(name)
        del self.throttles[name], self._shapes[name]
        self._due.put(name, NEVER_NS)
        self._last_epochs[name] = throttle.epoch + 1
        taken = throttle.take(self._now())
        self._stopped[name] = taken.plus(self._stopped.get(name, NOTHING))
        self._in_force.stopped(name)
        if len(self._last_epochs) > 2 * MAX_THROTTLES:
            self._last_epochs.pop(next(iter(self._last_epochs)))
        self._broadcast(throttle.stop_notice())
        _log.info("throttle %s is stopped", name)
        THROTTLE_STOP(throttle=name)

    def change_rate(self, name: str, text: str) -> str:
        """Change a throttle's rate for an operator, and wait until that is in force.

        Args:
            name: The throttle.
            text: The rate, as in ``--throttle NAME=``.

        Returns:
            A sentence for the operator.

        Raises:
            UsageError: There is no such throttle, or the rate is invalid; nothing was changed.
        """
        try:
            throttle = self.find(name)
            if throttle.every:
                check_rate(text)
            profile = parse_profile.from_text(name, text, throttle.interval_s)
        except ValueError as error:
            raise UsageError(f"throttle {name}: its rate {error}") from None
        except ScenarioError as error:
            raise UsageError(str(error)) from None
        self.change(name, lambda one, at_ns: one.change_profile(profile, None, at_ns))
        later = self.when_in_force(name)
        if later is not None and not later.wait(IN_FORCE_S):
            return f"throttle {name} is changed to {text}; not all workers have confirmed it yet"
        return f"throttle {name} is changed to {text}"

    def start_once(self, name: str, shape: object, interval_s: float) -> bool:
        """Start a throttle unless it runs with the same arguments; return whether it is new.

        Raises:
            ScenarioError: An argument is invalid, or it was started with other arguments.
        """
        is_new = self._shapes.get(name) != (shape, interval_s)
        if is_new:
            self.start(name, shape, interval_s)
        return is_new

    @property
    def unused_rates(self) -> list[str]:
        """Throttles for which the operator has given a rate, but which nobody has started."""
        known = self.throttles.keys() | self._last_epochs.keys()
        return sorted(self._rates.keys() - known)

    def take(self, at_ns: int) -> dict[str, Taken]:
        """Return each throttle's counts since the last call, stopped throttles included."""
        taken, self._stopped = self._stopped, {}
        for name, one in self.throttles.items():
            now = one.take(at_ns)
            before = taken.get(name)
            taken[name] = now if before is None else now.plus(before)
        return taken

    def state(self, name: str) -> ThrottleState:
        """Return a throttle's state.

        Raises:
            ScenarioError: There is no throttle of that name.
        """
        return self.find(name).state(self._now())

    def states(self) -> list[ThrottleState]:
        """Return the state of all throttles."""
        now_ns = self._now()
        return [throttle.state(now_ns) for throttle in self.throttles.values()]

    def change_shape(self, name: str, shape: Sequence[object], interval_s: float | None) -> None:
        """Change a throttle's profile.

        Args:
            name: The throttle.
            shape: See `amoc.throttle.parse_profile`; a ramp or stairs from None start at the
                current value.
            interval_s: Interval of its rates; None keeps the old one.

        Raises:
            ScenarioError: There is no throttle of that name, or the profile is invalid.
        """
        throttle, shape = self.find(name), list(shape)
        if interval_s is not None:
            interval_s = parse_profile.check_interval(name, interval_s)
        now_ns = self._now()
        per_s = throttle.interval_s if interval_s is None else interval_s
        if shape[:1] in (["ramp"], ["stairs"]) and shape[1:2] == [None]:  # from the current value
            value = throttle.value_at(throttle.known_by_ns(now_ns))
            if per_s and throttle.interval_s:
                value = value * per_s / throttle.interval_s
            shape = [shape[0], value, *shape[2:]]
        profile = parse_profile.build(name, shape, per_s)
        self.change(name, lambda one, at_ns: one.change_profile(profile, interval_s, at_ns))

    def change(self, name: str, act: Callable[[Throttle[WorkerId], int], bool]) -> None:
        """Change a throttle by `act`, and tell the workers if that changed anything."""
        throttle = self.find(name)
        now_ns = self._now()
        if act(throttle, now_ns):
            self._broadcast(throttle.newest_change())
            self._deal(throttle, now_ns, throttle.next_ns(now_ns))
            if THROTTLE_RATE.subscribers:
                self._fire_rate(throttle, now_ns)

    def _fire_rate(self, throttle: Throttle[WorkerId], now_ns: int) -> None:
        state = throttle.state(now_ns)
        THROTTLE_RATE(
            throttle=throttle.name,
            rate=throttle.value_at(throttle.known_by_ns(now_ns)),  # once the change is in force
            interval_s=throttle.interval_s,
            mode=state.mode,
            plan=state.plan,
        )

    def when_in_force(self, name: str) -> Later | None:
        """Return a reply for when all workers apply the newest change; None if they all do."""
        return self._in_force.wait_for(self.throttles[name])

    def find(self, name: str) -> Throttle[WorkerId]:
        """Return a throttle by name.

        Raises:
            ScenarioError: There is no throttle of that name.
        """
        throttle = self.throttles.get(name)
        if throttle is None:
            started = sorted(self.throttles)
            names = ", ".join(started[:MAX_NAMED]) or "none"
            more = f" and {len(started) - MAX_NAMED} more" if len(started) > MAX_NAMED else ""
            raise ScenarioError(f"throttle {name} is not started; started: {names}{more}")
        return throttle

    def packed_state(self, name: str) -> bytes:
        """Return a throttle's state for a worker that does not know the throttle yet."""
        return b"".join(map(THROTTLE_TO_WORKER.pack, self.find(name).whole_state(self._now())))

    def _broadcast(self, record: ThrottleToWorker) -> None:
        for origin in self._workers:
            self._post(origin, record)

    # Dealing

    def _deal(self, throttle: Throttle[WorkerId], now_ns: int, due_ns: int) -> None:
        """Deal if due, and schedule the next deal."""
        if due_ns <= now_ns:
            for origin, record in throttle.deal(now_ns):
                self._post(origin, record)
            due_ns = throttle.next_ns(now_ns)
        if due_ns < NEVER_NS:
            due_ns = (due_ns // _TICK_NS + 1) * _TICK_NS
        if self._due.put(throttle.name, due_ns):
            self._bell.ring()
