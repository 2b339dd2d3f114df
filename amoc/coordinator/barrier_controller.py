"""Barriers, the controller's side: users wait until the number they asked for has come. Pure.

Workers report arrivals by their own numbers (tickets). When the last user has come, each worker is
sent its tickets and one common release time, far enough ahead for the message to arrive everywhere
before it. On one host all processes share a clock.

Rule: every user that was counted is released. A user that gives up asks to be removed, and learns
whether that came in time; if not, its release is on the way. Only users that were killed in the
last milliseconds, or whose worker died, may be missing among those released.

A barrier exists while users wait at it, and then starts over; nothing needs to be started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from amoc.base.clock import MS_NS
from amoc.base.node_latency import NodeLatency
from amoc.ipc.messages import coordinator as messages
from amoc.ipc.worker_id import WorkerId

LEAD_NS = 50 * MS_NS
"""How far ahead the common release time is: longer than a message takes to a busy worker, without
the round trip to a far node."""


@dataclass
class _Round:
    """The users waiting at one barrier."""

    n: int
    waiting: dict[tuple[WorkerId, int], None] = field(default_factory=dict)


class Barriers:
    """Counts the waiting users at each barrier, and releases them."""

    def __init__(
        self,
        post: Callable[[WorkerId, messages.CoordinatorToWorker], None],
        now: Callable[[], int],
        latency: NodeLatency | None = None,
    ) -> None:
        self._post = post
        self._now = now
        self._latency = latency or NodeLatency()
        self._rounds: dict[str, _Round] = {}

    def waiting(self) -> dict[str, tuple[int, int]]:
        """Return, for each barrier in use, how many users wait and for how many they wait."""
        return {name: (len(one.waiting), one.n) for name, one in self._rounds.items()}

    def arrive(self, origin: WorkerId, record: messages.BarrierArrivals) -> None:
        """Record arrivals; the last one of a round releases all."""
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
        at_ns = self._now() + LEAD_NS + self._latency.round_trip_ns
        by_worker: dict[WorkerId, list[int]] = {}
        for origin, ticket in self._rounds.pop(name).waiting:
            by_worker.setdefault(origin, []).append(ticket)
        for origin, tickets in by_worker.items():
            self._post(origin, messages.BarrierRelease(name, at_ns, ranges(tickets)))

    def withdraw(self, origin: WorkerId, record: messages.BarrierWithdrawals) -> None:
        """Remove users that no longer wait, and confirm those that were not released before."""
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
        """Remove all users of a lost worker."""
        for name, one in list(self._rounds.items()):
            for key in [key for key in one.waiting if key[0] == origin]:
                del one.waiting[key]
            self._tidy(name)

    def _tidy(self, name: str) -> None:
        if not self._rounds[name].waiting:
            del self._rounds[name]


def ranges(tickets: Iterable[int]) -> list[tuple[int, int]]:
    """Return `tickets` as pairs: the first of a run of consecutive numbers, and their count."""
    found: list[tuple[int, int]] = []
    for ticket in tickets:
        if found and ticket == sum(found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((ticket, 1))
    return found
