"""The slots of one throttle: when the next ones are due, however its rate changes. Pure.

Slots are modelled as a fluid. The rate fills a cup; whenever it is full a slot is due, and the cup
is empty again. So a change of rate keeps the progress towards the next slot, a rate of 0 makes
none, and any stretch of time has at most one slot more than the integral of the rate. The cup
starts full: the first slot is due at once.

The schedule is laid out in *spans*, stretches of time with one spacing. The time of a slot is
computed from the beginning of its span by one multiplication, so it neither drifts nor is rounded
to a coarse clock.

A change of configuration starts a new *epoch* at a time T slightly in the future. Whatever was laid
out at or after T is void; the schedule returns to T and the progress made there, and numbers the
new epoch's slots from 0. An (epoch, slot) pair never occurs twice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.throttle.profiles import NEVER_NS, Profile

KEEP_NS = S_NS
"""How long a past span is kept, in case a change reaches back into it."""
_TOO_FAR_NS = NEVER_NS // 2


class Mode(StrEnum):
    """What a throttle does with waiting users."""

    RUN = "run"
    """They pass at its slots."""
    HELD = "held"
    """None passes."""
    OPEN = "open"
    """All pass."""
    GONE = "gone"
    """The throttle was stopped."""


class Change(NamedTuple):
    """The configuration from `from_ns` until the next change."""

    epoch: int
    from_ns: int
    mode: Mode
    profile: Profile
    origin_ns: int
    """When the profile started."""
    interval_ns: int
    """Interval of the profile's rates; 0 if its values are concurrency limits."""


class Run(NamedTuple):
    """Evenly spaced consecutive slots."""

    epoch: int
    first: int
    size: int
    due_ns: int
    """When the first slot is due."""
    spacing_ns: float


@dataclass(slots=True)
class Span:
    """A stretch of time with one spacing."""

    change: int
    """Index of the change that applies."""
    begin_ns: int
    end_ns: int
    need: float
    """Fraction of a slot, from 0 to 1, that is missing at the beginning until one is due."""
    spacing_ns: float
    first: int
    """Number of its first slot."""

    def due_ns(self, k: int) -> int:
        """Return when the span's slot `k` is due, if the span is long enough."""
        after_ns = (self.need + k) * self.spacing_ns
        # An infinite spacing makes it infinite, or NaN, which is not smaller than anything.
        return self.begin_ns + ceil(after_ns) if after_ns < _TOO_FAR_NS else NEVER_NS

    def before(self, t_ns: int) -> int:
        """Return how many of its slots are due before `t_ns`."""
        if self.spacing_ns == inf or t_ns <= self.begin_ns:
            return 0
        count = ceil((t_ns - self.begin_ns) / self.spacing_ns - self.need)
        if count < 0:
            count = 0
        while count and self.due_ns(count - 1) >= t_ns:
            count -= 1
        while self.due_ns(count) < t_ns:
            count += 1
        return count

    def need_at_end(self, taken: int) -> float:
        """Return the fraction missing until the next slot at the end of the span."""
        if self.spacing_ns == inf:
            return self.need
        made = (self.end_ns - self.begin_ns) / self.spacing_ns
        return min(1.0, max(0.0, self.need + taken - made))


class SlotSchedule:
    """Lays out the slots of one throttle, to be taken in order.

    Attributes:
        span: The one with the next slots.
    """

    def __init__(self, change: Change) -> None:
        self._changes: deque[Change] = deque([change])
        self._forgotten = 0  # changes dropped from the front of the queue
        self._forgotten_slots = 0  # slots of dropped spans
        self._past: deque[Span] = deque()
        self._taken = 0
        self.span = self._span_at(change.from_ns, 0, 0.0, 0)

    @property
    def epoch(self) -> int:
        """The newest epoch."""
        return self._changes[-1].epoch

    def ends_ns(self, epoch: int) -> int:
        """Return the time before which a slot of `epoch` must be due, or it is void."""
        for change in self._changes:
            if change.epoch > epoch:
                return change.from_ns
        return NEVER_NS

    def change(self, change: Change) -> None:
        """Apply `change` from its time on, which must not be before that of an earlier change."""
        self._changes.append(change)
        from_ns = change.from_ns
        while self.span.begin_ns > from_ns and self._past:
            self.span = self._past.pop()
            self._taken = self.span.before(self.span.end_ns)
        span = self.span
        span.end_ns = min(span.end_ns, from_ns)
        self._taken = min(self._taken, span.before(from_ns))

    def peek(self, until_ns: int) -> Run | None:
        """Return the next untaken slots with one spacing that are due by `until_ns`."""
        due_ns = self.next_ns(until_ns)
        span = self.span
        if due_ns > until_ns:
            return None
        count = span.before(min(span.end_ns, until_ns + 1)) - self._taken
        epoch = self._changes[span.change - self._forgotten].epoch
        return Run(epoch, span.first + self._taken, count, due_ns, span.spacing_ns)

    def next_ns(self, until_ns: int) -> int:
        """Return when the next slot is due; if after `until_ns`, any time after `until_ns`."""
        while True:
            span = self.span
            due_ns = span.due_ns(self._taken)
            if due_ns < span.end_ns:
                return due_ns
            if span.end_ns > until_ns:
                return span.end_ns
            self._go_on()

    def take(self, count: int) -> None:
        """Take the next `count` slots, at most as many as `peek` has returned."""
        self._taken += count

    def untake(self, epoch: int, slot: int) -> bool:
        """Put back `slot` if it was the last one taken; return whether it was."""
        span = self.span
        of = self._changes[span.change - self._forgotten].epoch
        if not self._taken or (epoch, slot) != (of, span.first + self._taken - 1):
            return False
        self._taken -= 1
        return True

    def skip(self, before_ns: int) -> int:
        """Take all slots that are due before `before_ns`; return how many."""
        skipped = 0
        while (run := self.peek(before_ns - 1)) is not None:
            self.take(run.size)
            skipped += run.size
        return skipped

    def due_before(self, t_ns: int) -> int:
        """Return how many slots were due before `t_ns` since the beginning, taken or not.

        The schedule must be laid out up to there, for example by `skip`, and never have slid.
        """
        spans = (*self._past, self.span)
        return self._forgotten_slots + sum(one.before(min(one.end_ns, t_ns)) for one in spans)

    def slide(self, to_ns: int) -> None:
        """Move the next slot to `to_ns` or later, as nobody wanted a slot before."""
        if self.next_ns(to_ns) >= to_ns:
            return
        # Slots laid out but not taken are treated as if they never existed. Epochs that begin in
        # between are skipped, so find the one that applies.
        span = self.span
        index = span.change
        first = span.first + self._taken
        while (after := index + 1 - self._forgotten) < len(self._changes) and (
            self._changes[after].from_ns <= to_ns
        ):
            index, first = index + 1, 0
        span.end_ns = span.due_ns(self._taken)
        self._past.append(span)
        self._taken = 0
        self.span = self._span_at(to_ns, index, 0.0, first)

    def forget(self, before_ns: int) -> None:
        """Drop what was before `before_ns`; no change may reach back that far."""
        while self._past and self._past[0].end_ns < before_ns:
            self._forgotten_slots += self._past[0].before(self._past[0].end_ns)
            self._past.popleft()
        oldest = self._past[0].change if self._past else self.span.change
        while self._forgotten < oldest:
            self._changes.popleft()
            self._forgotten += 1

    def _go_on(self) -> None:
        """Advance to the next span; all slots of the current one are taken."""
        span = self.span
        first = span.first + self._taken
        need = span.need_at_end(self._taken)
        index = span.change
        change = self._changes[index - self._forgotten]
        after = index + 1 - self._forgotten
        if after < len(self._changes) and self._changes[after].from_ns <= span.end_ns:
            index, first = index + 1, 0
            if change.mode is Mode.OPEN:
                need = 1.0  # a user may have passed just now
        self._past.append(span)
        self._taken = 0
        self.span = self._span_at(span.end_ns, index, need, first)

    def _span_at(self, begin_ns: int, index: int, need: float, first: int) -> Span:
        change = self._changes[index - self._forgotten]
        spacing_ns, end_ns = inf, NEVER_NS
        if change.mode is Mode.RUN:
            value, until_ns = change.profile.at(begin_ns - change.origin_ns)
            if value > 0:
                spacing_ns = change.interval_ns / value
            end_ns = min(NEVER_NS, until_ns + change.origin_ns)
        after = index + 1 - self._forgotten
        if after < len(self._changes):
            end_ns = min(end_ns, self._changes[after].from_ns)
        return Span(index, begin_ns, end_ns, need, spacing_ns, first)
