"""The controller's state of one throttle. Pure.

The configured profile is a constant rate, or one that changes. One of three states may override it:
paused (nobody passes), unlocked (everybody passes) or frozen (the whole run is paused, and the
profile with it). While only the throttle is paused, the profile's time goes on.

A change comes into force `LEAD_NS` ahead, plus the round trip to the farthest node, so that all
workers know it in time and change at the same moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Generic, NamedTuple, TypeVar

from amoc.base.clock import MS_NS, S_NS
from amoc.base.errors import ScenarioError
from amoc.base.node_latency import NodeLatency
from amoc.ipc.messages.throttle import (
    AskBack,
    Permits,
    ThrottleMode,
    ThrottleToWorker,
    Tokens,
    Want,
)
from amoc.throttle import permit_allocator, slot_allocator
from amoc.throttle.profiles import Profile
from amoc.throttle.slot_schedule import Change, Mode
from amoc.throttle.wanted import Wanted

LEAD_NS = 40 * MS_NS
"""How far ahead of its time a change is announced."""

Asker = TypeVar("Asker")


class ThrottleState(NamedTuple):
    """A throttle's state, for people and scenarios."""

    name: str
    rate: float
    """The rate configured for now, per `interval`."""
    actual_rate: float
    """The rate in force now: 0 while paused, ``inf`` while unlocked."""
    interval: float
    """In seconds; 0 if `rate` is a concurrency limit."""
    mode: str
    """``run``, ``paused``, ``unlocked``, ``frozen``, or ``open`` if the rate is infinite."""
    plan: str
    """How the rate changes; empty if it is constant."""
    waiting: int
    """Waiting users, as last reported by their workers."""
    missed: int
    """Slots not used because they came too late, as counted in the summary."""


class Taken(NamedTuple):
    """A throttle's counts since they were last taken."""

    wanted: float | None
    """How many users should have passed: the integral of the rate in force. None if the rate
    was unlimited at some time."""
    missed: int
    """Slots whose time passed before they could be dealt."""

    def plus(self, more: Taken) -> Taken:
        """Return the sum of both."""
        unlimited = self.wanted is None or more.wanted is None
        wanted = None if unlimited else (self.wanted or 0.0) + (more.wanted or 0.0)
        return Taken(wanted, self.missed + more.missed)


class Throttle(Generic[Asker]):
    """One throttle.

    Attributes:
        name: Its name.
        interval_s: Interval of its rate in seconds; 0 for a concurrency limit.
        every: Whether slots that nobody takes are counted.
        untaken: How many slots nobody took, if they are counted.
        next_ns: Returns when to deal again, if nothing happens until then.
    """

    def __init__(
        self,
        name: str,
        profile: Profile,
        interval_s: float,
        epoch: int,
        now_ns: int,
        latency: NodeLatency | None = None,
        *,
        every: bool = False,
    ) -> None:
        """Start it.

        Args:
            name: Its name.
            profile: The configured rate.
            interval_s: Interval of the profile's rates in seconds; 0 for a concurrency limit.
            epoch: Its first epoch; higher than any of an earlier throttle of that name.
            now_ns: The time.
            latency: Round-trip time to the farthest node.
            every: See the attribute.
        """
        self._latency = latency or NodeLatency()
        self.name = name
        self.every, self.untaken = every, 0
        self.interval_s = interval_s
        self.first_epoch = self.epoch = epoch
        self._profile = profile
        self._origin_ns = now_ns
        self._load_ns = 0  # as in `ThrottleMode`
        self._paused = self._unlocked = False
        self._run_paused_ns: int | None = None
        self._waiting: dict[Asker, int] = {}
        change = self._change(now_ns)
        self._modes: deque[Change] = deque([change])
        self._known: dict[Asker, int] = {}  # the epoch in force at each worker
        self._late: dict[Asker, int] = {}  # slots that reached each worker too late
        self._missed = self._missed_here = 0  # in all, and those too late to be dealt
        self._wanted = Wanted(now_ns)
        self._slots: slot_allocator.SlotAllocator[Asker] | None = None
        self.permits: permit_allocator.Permits[Asker] | None = None
        self._allocate(change)

    def _allocate(self, change: Change) -> None:
        """Deal slots or permits from `change` on; workers restart their counts with its epoch."""
        self.first_epoch = change.epoch
        self._slots = self.permits = None
        if change.interval_ns:
            self._slots = slot_allocator.SlotAllocator(change, self._latency, every=self.every)
            self.next_ns = self._slots.next_ns
        else:
            self.permits = permit_allocator.Permits(change)
            self.next_ns = self.permits.next_ns

    # Changes

    def change_profile(self, profile: Profile, interval_s: float | None, now_ns: int) -> bool:
        """Configure `profile` and end an unlock; return False if nothing changed."""
        interval_s = self.interval_s if interval_s is None else interval_s
        if self.every and (not interval_s or profile.at(0)[0] == inf):
            raise ScenarioError(f"throttle {self.name} starts iterations, so it must have a rate")
        before = self._measure(self._profile, self.interval_s)
        same = profile.steady and before == self._measure(profile, interval_s)
        self._profile, self.interval_s = profile, interval_s
        if same and not self._unlocked:
            return False
        self._unlocked = False
        self._origin_ns = self._from_ns(now_ns)
        if self.every and not self._load_ns:
            self._load_ns = self._origin_ns
        if self._run_paused_ns is not None:
            self._delay_load(self._origin_ns - self._run_paused_ns)
            self._run_paused_ns = self._origin_ns
        self._publish(now_ns)
        return True

    def _delay_load(self, by_ns: int) -> None:
        if self._load_ns:
            self._load_ns += by_ns

    def begin(self, now_ns: int) -> bool:
        """Let users start, and a gradual change made in init() begin; return False without one."""
        self.take(now_ns)  # users were not meant to pass so far
        if self._profile.steady:
            return False
        self._origin_ns = self._from_ns(now_ns)
        self._publish(now_ns)
        return True

    @staticmethod
    def _measure(profile: Profile, interval_s: float) -> tuple[bool, float] | None:
        """Return what two equal limits have in common; None for a limit that changes."""
        if not profile.steady:
            return None
        value, _ = profile.at(0)
        return bool(interval_s), value / (interval_s or 1)

    def pause(self, now_ns: int) -> bool:
        """Let nobody pass until `resume`; return False if nothing changed."""
        return self._overlay(paused=True, unlocked=False, now_ns=now_ns)

    def resume(self, now_ns: int) -> bool:
        """Return to the configured profile; return False if nothing changed."""
        return self._overlay(paused=False, unlocked=False, now_ns=now_ns)

    def unlock(self, now_ns: int) -> bool:
        """Let everybody pass until `resume` or another rate; return False if nothing changed."""
        if self.every:
            raise ScenarioError(f"throttle {self.name} starts iterations, so it must have a rate")
        return self._overlay(paused=False, unlocked=True, now_ns=now_ns)

    def _overlay(self, *, paused: bool, unlocked: bool, now_ns: int) -> bool:
        if (self._paused, self._unlocked) == (paused, unlocked):
            return False
        self._paused, self._unlocked = paused, unlocked
        self._publish(now_ns)
        return True

    def end(self, at_ns: int, now_ns: int) -> bool:
        """Let nobody pass from `at_ns` on, or as soon after as the change can be in force."""
        self._paused = True
        self._publish(now_ns, at_ns)
        return True

    @property
    def changed_ns(self) -> int:
        """When the newest change comes into force."""
        return self._modes[-1].from_ns

    @property
    def due(self) -> int:
        """How many slots were due before the newest change, where every slot counts."""
        assert self._slots is not None
        return self._slots.due_before(self.changed_ns)

    def pause_run(self, now_ns: int) -> bool:
        """Pause the profile with the run; return False if it was paused already."""
        if self._run_paused_ns is not None:
            return False
        self._run_paused_ns = self._from_ns(now_ns)
        self._publish(now_ns)
        return True

    def resume_run(self, now_ns: int) -> bool:
        """Let the profile continue where it was paused; return False if it was not paused."""
        if self._run_paused_ns is None:
            return False
        paused_ns = self._from_ns(now_ns) - self._run_paused_ns
        self._origin_ns += paused_ns
        self._delay_load(paused_ns)
        self._run_paused_ns = None
        self._publish(now_ns)
        return True

    # Current state

    @property
    def mode(self) -> Mode:
        """What it does once the newest change is in force."""
        if self._run_paused_ns is not None or self._paused:
            return Mode.HELD
        no_limit = self._profile.steady and self._profile.at(0)[0] == inf
        return Mode.OPEN if self._unlocked or no_limit else Mode.RUN

    @property
    def mode_text(self) -> str:
        """See `ThrottleState.mode`."""
        if self._run_paused_ns is not None:
            return "frozen"
        if self._paused or self._unlocked:
            return "paused" if self._paused else "unlocked"
        return str(self.mode)

    def _from_ns(self, now_ns: int) -> int:
        return max(self.known_by_ns(now_ns), self._modes[-1].from_ns)

    def known_by_ns(self, now_ns: int) -> int:
        """Return when all workers know a change that is announced at `now_ns`."""
        return now_ns + LEAD_NS + self._latency.round_trip_ns

    def _change(self, from_ns: int) -> Change:
        interval_ns = round(self.interval_s * S_NS)
        return Change(self.epoch, from_ns, self.mode, self._profile, self._origin_ns, interval_ns)

    def _publish(self, now_ns: int, at_ns: int = 0) -> None:
        self.epoch += 1
        change = self._change(max(self._from_ns(now_ns), at_ns))
        self._drop_old(now_ns)
        self._modes.append(change)
        if bool(change.interval_ns) is not (self._slots is not None):
            self._allocate(change)
        elif self._slots is not None:
            self._slots.change(change, now_ns)
        elif self.permits is not None:
            self.permits.change(change, now_ns)

    def newest_change(self) -> ThrottleMode:
        """Return the newest change, for the workers."""
        return self._message(self._modes[-1])

    def whole_state(self, now_ns: int) -> list[ThrottleMode]:
        """Return the current and all future changes, for a worker that knows none."""
        self._drop_old(now_ns)
        return [self._message(change) for change in self._modes]

    def _drop_old(self, now_ns: int) -> None:
        self._wanted.add(self._modes, now_ns)
        modes = self._modes
        while len(modes) > 1 and modes[1].from_ns <= now_ns:
            modes.popleft()

    def take(self, now_ns: int) -> Taken:
        """Return, and reset, the counts since the last call."""
        self._wanted.add(self._modes, now_ns)
        if self.every and self._slots is not None:
            self._slots.skip_void(now_ns)
            self._take_void(self._slots)
        taken = Taken(self._wanted.take(), self._missed_here)
        self._missed_here = 0
        return taken

    def _message(self, change: Change) -> ThrottleMode:
        mode, permits = str(change.mode), not change.interval_ns
        return ThrottleMode(self.name, change.epoch, change.from_ns, mode, permits, self._load_ns)

    def stop_notice(self) -> ThrottleMode:
        """Return the message that tells workers that the throttle was stopped."""
        return ThrottleMode(self.name, self.epoch + 1, 0, str(Mode.GONE), not self.interval_s)

    def value_at(self, now_ns: int) -> float:
        """Return the value that is configured for now."""
        at_ns = now_ns if self._run_paused_ns is None else self._run_paused_ns
        return self._profile.at(max(0, at_ns - self._origin_ns))[0]

    def in_force(self, epoch: int, askers: Iterable[Asker]) -> bool:
        """Return whether the change that began `epoch` is in force at all `askers`.

        True while the run is paused: nobody passes, and all workers learn of it before the run
        resumes.
        """
        return self._run_paused_ns is not None or all(
            self._known.get(one, 0) >= epoch for one in askers
        )

    # Dealing

    def want(self, asker: Asker, want: Want, now_ns: int) -> None:
        """Process a worker's report of its users' demand."""
        if want.epoch < self.first_epoch:
            return  # about an earlier throttle of this name, or before a switch to or from permits
        self._waiting[asker] = want.waiting
        if want.in_force > self._known.get(asker, 0):
            self._known[asker] = want.in_force
        late = self._late.get(asker, 0)
        if want.missed != late:
            self._missed += max(0, want.missed - late)
            self._late[asker] = want.missed
        if self._slots is not None:
            self._slots.want(
                asker, want.outstanding, want.seen, want.since_ns, now_ns, want.given_back_ns
            )
        elif self.permits is not None:
            self.permits.want(asker, want.outstanding, want.seen, want.back)

    def deal(self, now_ns: int) -> list[tuple[Asker, ThrottleToWorker]]:
        """Return the messages to send to workers now."""
        if self._slots is not None:
            asked_back = [(who, AskBack(self.name)) for who in self._slots.ask_back(now_ns)]
            dealt = self._slots.deal(now_ns)
            if self._slots.void:
                self._take_void(self._slots)
            return [*asked_back, *((who, Tokens(self.name, *block)) for who, block in dealt)]
        assert self.permits is not None
        return [(who, Permits(self.name, *grant)) for who, grant in self.permits.deal(now_ns)]

    def _take_void(self, slots: slot_allocator.SlotAllocator[Asker]) -> None:
        if self.every:
            self.untaken += slots.void
        else:
            self._missed += slots.void
            self._missed_here += slots.void
        slots.void = 0

    def lost(self, asker: Asker, now_ns: int, passed: int = 0) -> None:
        """Remove a lost worker; `passed` of its slots were used, or known to be missed."""
        self._waiting.pop(asker, None)
        self._known.pop(asker, None)
        self._late.pop(asker, None)
        if self._slots is not None:
            had = self._slots.lost(asker, now_ns)
            if self.every:
                self.untaken += max(0, had - passed)
        elif self.permits is not None:
            self.permits.lost(asker)

    def state(self, now_ns: int) -> ThrottleState:
        """Return its state."""
        rate = self.value_at(now_ns)
        self._drop_old(now_ns)
        actual = {Mode.HELD: 0.0, Mode.OPEN: inf}.get(self._modes[0].mode, rate)
        plan = "" if self._profile.steady else str(self._profile)
        return ThrottleState(
            name=self.name,
            rate=rate,
            actual_rate=actual,
            interval=self.interval_s,
            mode=self.mode_text,
            plan=plan,
            waiting=sum(self._waiting.values()),
            missed=self._missed,
        )
