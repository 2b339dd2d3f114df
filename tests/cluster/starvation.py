"""How long the processes of a test waited for a core, to tell whether the host was too busy.

A process that has waited for a core for too long may miss a timeout, with
nothing wrong in the code under test. The kernel counts how long each process has waited; time that
a hypervisor takes away (steal) is not included, but makes this watcher late, too.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from amoc.base.clock import S_NS
from amoc.runtime.remote import fencing
from tests.cluster.patience import DEADLINE_S, stalled_s

LOOK_S = 0.25
FOUND_S = 1.0
"""Interval of the search for new processes."""
WINDOW_S = fencing.ORPHANED_NS / S_NS
LEFT_S = (
    min(
        fencing.ORPHANED_NS - 2 * int(fencing.BEAT_S * S_NS),
        fencing.KILLED_NS - fencing.ORPHANED_NS,
        fencing.GIVEN_UP_NS - fencing.KILLED_NS,
    )
    / S_NS
)
"""The slack of the timeouts: between heartbeats, and from each timeout to the next."""


class Starvation(NamedTuple):
    """How starved of CPU a host was.

    Attributes:
        window_s: The longest that the two latest processes together, since a beat takes two, have
            waited for a core within `WINDOW_S`.
        total_s: The longest total wait of one process.
        pressure: The share of the time in which some process of this machine has waited.
    """

    window_s: float
    total_s: float
    pressure: float

    @property
    def excuses(self) -> bool:
        """Whether a failure may be due to starvation."""
        return self.window_s >= LEFT_S or self.total_s >= DEADLINE_S / 2

    def __str__(self) -> str:
        return (
            f"two of its processes waited for a core for {self.window_s:.1f} s within"
            f" {WINDOW_S:g} s ({LEFT_S:g} s are too much), one for {self.total_s:.1f} s in all;"
            f" cpu pressure {self.pressure:.0%}"
        )


class Waits:
    """The longest waits, from periodic readings. Pure."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._recent: deque[tuple[float, dict[int, float]]] = deque()
        self._total_s: dict[int, float] = defaultdict(float)
        self.window_s = 0.0

    @property
    def total_s(self) -> float:
        """The longest total wait of one process."""
        return max(self._total_s.values(), default=0.0)

    def take(self, now_s: float, waited_ns: dict[int, int]) -> None:
        """Record how long each process has waited since its start, read at `now_s`."""
        more = {
            pid: (waited - self._last[pid]) / S_NS
            for pid, waited in waited_ns.items()
            if waited >= self._last.setdefault(pid, waited)  # smaller: a reused pid
        }
        self._last = waited_ns
        self._recent.append((now_s, more))
        while self._recent[0][0] <= now_s - WINDOW_S:
            self._recent.popleft()
        within: dict[int, float] = defaultdict(float)
        for _, some in self._recent:
            for pid, waited_s in some.items():
                within[pid] += waited_s
        for pid, waited_s in more.items():
            self._total_s[pid] += waited_s
        self.window_s = max(self.window_s, sum(sorted(within.values())[-2:]))


class Watch:
    """Watches processes and their descendants until the block ends."""

    def __init__(self, roots: Callable[[], Iterable[int]]) -> None:
        """Watch the processes `roots`, whose number may grow."""
        self._roots = roots
        self._waits = Waits()
        self._own_ns = 0
        self._stop = threading.Event()
        self._begun = time.monotonic(), stalled_s()
        self._thread = threading.Thread(target=self._run, name="starvation", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def found(self) -> Starvation:
        """The starvation so far."""
        begun_s, before_s = self._begun
        lasted_s = max(time.monotonic() - begun_s, LOOK_S)
        pressure = min(1.0, (stalled_s() - before_s) / lasted_s)
        return Starvation(self._waits.window_s, self._waits.total_s, pressure)

    def _run(self) -> None:
        pids: set[int] = set()
        found_at = -FOUND_S
        expected = time.monotonic() + LOOK_S
        while not self._stop.wait(LOOK_S):
            now = time.monotonic()
            self._own_ns += max(0, int((now - expected) * S_NS))
            if now - found_at >= FOUND_S:
                pids, found_at = set(_below(self._roots())), now
            waits = {pid: waited for pid in pids if (waited := _waited_ns(pid)) is not None}
            self._waits.take(now, {**waits, 0: self._own_ns})
            expected = time.monotonic() + LOOK_S


def _below(roots: Iterable[int]) -> Iterator[int]:
    """Yield these processes and their descendants."""
    left = list(roots)
    while left:
        pid = left.pop()
        yield pid
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += map(int, (task / "children").read_text().split())


def _waited_ns(pid: int) -> int | None:
    """Return how long a process has waited for a core; None if it has ended."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return None
