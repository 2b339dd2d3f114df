"""The permits of a throttle that limits concurrency, and the workers that hold them. Pure.

One permit is dealt to a worker for each user that may pass, and comes back when the user is done.
Workers report how many permits they have returned since they started, so a repeated report does no
harm. A lost worker's permits all come back at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import floor, inf
from typing import Generic, NamedTuple, TypeVar

from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_schedule import Change, Mode

Asker = TypeVar("Asker")


class Grant(NamedTuple):
    """Permits for one worker."""

    number: int
    """Number of the worker's previous grant, plus one."""
    epoch: int
    size: int


@dataclass(slots=True)
class _Account:
    outstanding: int = 0
    seen: int = 0
    dealt: int = 0
    """Number of the last grant."""
    given: int = 0
    back: int = 0
    given_at_seen: int = 0
    """Permits given in the grants that it had seen when it last reported."""

    @property
    def demand(self) -> int:
        return max(0, self.outstanding - (self.given - self.given_at_seen))


class Permits(Generic[Asker]):
    """Deals the permits of one throttle, and takes them back."""

    def __init__(self, change: Change) -> None:
        self._changes: deque[Change] = deque([change])
        self._accounts: dict[Asker, _Account] = {}
        self._turn: list[Asker] = []
        self._grants: dict[Asker, deque[tuple[int, int]]] = {}  # number, permits given by then

    def change(self, change: Change, now_ns: int) -> None:
        """Apply `change` from its time on."""
        self._at(now_ns)  # drops changes that are over
        self._changes.append(change)

    def _at(self, now_ns: int) -> tuple[Change, int, int]:
        """Return the change that applies now, the number of permits, and until when."""
        changes = self._changes
        while len(changes) > 1 and changes[1].from_ns <= now_ns:
            changes.popleft()
        change = changes[0]
        until_ns = changes[1].from_ns if len(changes) > 1 else NEVER_NS
        if now_ns < change.from_ns:  # until then it is a rate limit
            return change, 0, change.from_ns
        if change.mode is not Mode.RUN:
            return change, 0, until_ns
        value, holds_ns = change.profile.at(max(0, now_ns - change.origin_ns))
        count = floor(value) if value < inf else NEVER_NS
        return change, count, min(until_ns, holds_ns + change.origin_ns)

    def want(self, asker: Asker, outstanding: int, seen: int, back: int) -> None:
        """Process `asker`'s report of its demand.

        Args:
            asker: The worker.
            outstanding: Permits it wants beyond all that it has seen.
            seen: Number of the last grant it has seen.
            back: How many permits it has returned, ever.
        """
        account = self._accounts.get(asker)
        if account is None:
            account = self._accounts[asker] = _Account()
            self._grants[asker] = deque()
            self._turn.append(asker)
        if seen < account.seen or seen > account.dealt:
            return
        account.outstanding, account.seen = outstanding, seen
        account.back = max(account.back, min(back, account.given))
        grants = self._grants[asker]
        while grants and grants[0][0] <= seen:
            account.given_at_seen = grants.popleft()[1]

    def deal(self, now_ns: int) -> list[tuple[Asker, Grant]]:
        """Deal free permits to the workers that want some, one each in turn."""
        change, total, _ = self._at(now_ns)
        free = total - self.held
        shares: dict[Asker, int] = {}
        active = [asker for asker in self._turn if self._accounts[asker].demand]
        while free > 0 and active:
            each = max(1, min(free // len(active), *(self._left(one, shares) for one in active)))
            for asker in active[:free]:
                shares[asker] = shares.get(asker, 0) + each
            served = min(free, len(active))
            free -= served * each
            self._turn = [one for one in self._turn if one not in active[:served]] + active[:served]
            active = [one for one in active if self._left(one, shares)]
        return [self._enter(asker, change.epoch, count) for asker, count in shares.items()]

    def _left(self, asker: Asker, shares: dict[Asker, int]) -> int:
        return self._accounts[asker].demand - shares.get(asker, 0)

    def _enter(self, asker: Asker, epoch: int, count: int) -> tuple[Asker, Grant]:
        account = self._accounts[asker]
        account.dealt += 1
        account.given += count
        self._grants[asker].append((account.dealt, account.given))
        return asker, Grant(account.dealt, epoch, count)

    def lost(self, asker: Asker) -> None:
        """Take back all permits of a lost worker."""
        if asker in self._accounts:
            del self._accounts[asker], self._grants[asker]
            self._turn.remove(asker)

    @property
    def held(self) -> int:
        """Permits that workers hold."""
        return sum(one.given - one.back for one in self._accounts.values())

    def next_ns(self, now_ns: int) -> int:
        """Return when to deal again, if no worker asks for or returns permits until then."""
        if not any(account.demand for account in self._accounts.values()):
            return NEVER_NS
        _, total, until_ns = self._at(now_ns)
        return now_ns if total > self.held else until_ns
