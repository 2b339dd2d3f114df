"""When users start: one evenly spaced row of times for the whole run, dealt round the slots. Pure.

Start k is due at base + k / rate, never earlier. Each time goes to the next slot, in turn, that can
take a user: it is up, has users left to start, and is not behind with those it was dealt. A slot
whose worker died sits out until the replacement is up, and its users start again first.
Times are dealt a short horizon ahead, so that a change of the rate is soon in force. Nothing is
saved up while nobody can start; when the dealer itself woke late it catches up, but what is more
than `VOID_NS` late is void.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import inf

from amoc.messages import StartUsers
from amoc.timing import MS_NS, S_NS

HORIZON_NS = 100 * MS_NS
VOID_NS = 100 * MS_NS
MOST_OUTSTANDING = 4_000
"""Users dealt to a slot that it has not started yet, at the most."""
_NEVER_NS = 1 << 62
CHUNK = 1_000
"""Users dealt to a slot at once when the rate is not limited."""


@dataclass
class _Slot:
    fresh: Iterator[int]
    left: int
    up: bool = False
    outstanding: int = 0
    again: deque[int] = field(default_factory=deque)
    unstarted: deque[int] = field(default_factory=deque)

    def waiting(self) -> int:
        return len(self.again) + len(self.unstarted) + self.left

    def ready(self) -> bool:
        return self.up and self.outstanding < MOST_OUTSTANDING and self.waiting() > 0

    def take(self) -> tuple[int, bool]:
        """The next user, and whether it starts again."""
        self.outstanding += 1
        if self.again:
            return self.again.popleft(), True
        if self.unstarted:
            return self.unstarted.popleft(), False
        self.left -= 1
        return next(self.fresh), False


class StartPlan:
    """Deals the starts of one node's users."""

    def __init__(self, rate_per_s: float, users: list[range]) -> None:
        """Plan the start of `users`, the ids of each slot, at `rate_per_s` (``inf``: no limit)."""
        self._slots = [_Slot(iter(ids), len(ids)) for ids in users]
        self._turn = 0
        self._rate = rate_per_s
        self._base_ns = 0
        self._k = 0

    def waiting(self) -> int:
        """Users that are still to be dealt."""
        return sum(slot.waiting() for slot in self._slots)

    def outstanding(self) -> int:
        """Users that were dealt and have not started yet."""
        return sum(slot.outstanding for slot in self._slots)

    def up(self, slot: int, again: list[int], unstarted: list[int]) -> None:
        """`slot` has a worker; `again` ran in the one before, `unstarted` were dealt in vain."""
        one = self._slots[slot]
        one.up, one.outstanding = True, 0
        one.again, one.unstarted = deque(again), deque(unstarted)

    def down(self, slot: int) -> None:
        """`slot` has lost its worker."""
        # What it was dealt and has not started comes back with `up`: the board knows.
        self._slots[slot].up = False
        self._slots[slot].outstanding = 0

    def started(self, slot: int, count: int) -> None:
        """`slot` has started `count` of the users that it was dealt."""
        one = self._slots[slot]
        one.outstanding = max(0, one.outstanding - count)

    def deal(self, now_ns: int) -> list[StartUsers]:
        """What may start between now and the horizon."""
        if self._rate == inf:
            return self._deal_at_once(now_ns)
        if self._due_ns() < now_ns - VOID_NS:
            self._base_ns, self._k = now_ns, 0
        dealt: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        while (due_ns := self._due_ns()) <= now_ns + HORIZON_NS:
            number = self._next_ready()
            if number is None:
                break
            user_id, again = self._slots[number].take()
            dealt.setdefault((number, again), []).append((user_id, due_ns))
            self._k += 1
        return [
            StartUsers(
                slot=number,
                ids=[user_id for user_id, _ in starts],
                due_ns=starts[0][1],
                offsets_ns=[due_ns - starts[0][1] for _, due_ns in starts],
                again=again,
            )
            for (number, again), starts in dealt.items()
        ]

    def _due_ns(self) -> int:
        # From the base each time: adding up a rounded spacing would drift.
        return self._base_ns + int(min(self._k * S_NS / self._rate, _NEVER_NS))

    def _next_ready(self) -> int | None:
        count = len(self._slots)
        for step in range(count):
            number = (self._turn + step) % count
            if self._slots[number].ready():
                self._turn = (number + 1) % count
                return number
        return None

    def _deal_at_once(self, now_ns: int) -> list[StartUsers]:
        blocks = []
        for number, slot in enumerate(self._slots):
            while slot.ready():
                again = bool(slot.again)
                queue = slot.again or slot.unstarted
                most = min(CHUNK, MOST_OUTSTANDING - slot.outstanding)
                if queue:
                    ids = [queue.popleft() for _ in range(min(most, len(queue)))]
                else:
                    ids = list(islice(slot.fresh, most))
                    slot.left -= len(ids)
                slot.outstanding += len(ids)
                blocks.append(StartUsers(number, ids, now_ns, [], again))
        return blocks
