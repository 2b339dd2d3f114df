"""Barriers, the controller's end: so many users wait until as many as they said have come. Pure.

Workers report who came, by numbers of their own (tickets). When the last one is there, each worker
is sent the tickets it holds and one moment for all, a little ahead, so that the message is
everywhere before it; on one host all clocks are one.

Rule: every user that is counted is released. A user that gives up asks to be removed, and is told
whether that came in time; if not, its release is on the way. Only users that were killed, or whose
worker died, in the last milliseconds may be missing among those released.

A barrier is there while somebody waits, and then begins anew; nothing needs to be started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from amoc.base.clock import MS_NS
from amoc.base.distance import Distance
from amoc.ipc.messages import coordinator as messages
from amoc.ipc.worker_id import WorkerId

LEAD_NS = 50 * MS_NS
"""How far ahead the common moment lies: longer than a message takes to a busy worker, without the
way to a node that is far away."""


@dataclass
class _Round:
    """Those that wait at one barrier."""

    n: int
    waiting: dict[tuple[WorkerId, int], None] = field(default_factory=dict)


class Barriers:
    """Counts who waits where, and lets them go."""

    def __init__(
        self,
        post: Callable[[WorkerId, messages.CoordinatorToWorker], None],
        now: Callable[[], int],
        distance: Distance | None = None,
    ) -> None:
        self._post = post
        self._now = now
        self._distance = distance or Distance()
        self._rounds: dict[str, _Round] = {}

    def waiting(self) -> dict[str, tuple[int, int]]:
        """For each barrier where somebody waits, how many do and for how many they wait."""
        return {name: (len(one.waiting), one.n) for name, one in self._rounds.items()}

    def arrive(self, origin: WorkerId, record: messages.BarrierArrivals) -> None:
        """Users have come; the last one of a round releases all."""
        name, n, tickets = record
        for index, ticket in enumerate(tickets):
            one = self._rounds.setdefault(name, _Round(n))
            if one.n != n:
                reason = (
                    f"barrier {name} must be given the same n by all users, got {n} while"
                    f" others wait there for {one.n}"
                )
                self._post(origin, messages.BarrierRefusal(name, tickets[index:], reason))
                return
            one.waiting[origin, ticket] = None
            if len(one.waiting) >= n:
                self._release(name)

    def _release(self, name: str) -> None:
        at_ns = self._now() + LEAD_NS + self._distance.round_trip_ns
        by_worker: dict[WorkerId, list[int]] = {}
        for origin, ticket in self._rounds.pop(name).waiting:
            by_worker.setdefault(origin, []).append(ticket)
        for origin, tickets in by_worker.items():
            self._post(origin, messages.BarrierRelease(name, at_ns, ranges(tickets)))

    def withdraw(self, origin: WorkerId, record: messages.BarrierWithdrawals) -> None:
        """Users do not wait any more; those that were not released before are told so."""
        name, tickets = record
        one = self._rounds.get(name)
        if one is None:
            return
        out = [ticket for ticket in tickets if (origin, ticket) in one.waiting]
        for ticket in out:
            del one.waiting[origin, ticket]
        self._tidy(name)
        if out:
            self._post(origin, messages.BarrierWithdrawals(name, out))

    def worker_lost(self, origin: WorkerId) -> None:
        """Nobody of that worker waits any more."""
        for name, one in list(self._rounds.items()):
            for key in [key for key in one.waiting if key[0] == origin]:
                del one.waiting[key]
            self._tidy(name)

    def _tidy(self, name: str) -> None:
        if not self._rounds[name].waiting:
            del self._rounds[name]


def ranges(tickets: Iterable[int]) -> list[tuple[int, int]]:
    """`tickets` as first ones and how many follow each other from there."""
    found: list[tuple[int, int]] = []
    for ticket in tickets:
        if found and ticket == sum(found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((ticket, 1))
    return found
