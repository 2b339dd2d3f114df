"""When each throttle needs its next deal, earliest first. Pure.

A heap with lazy deletion: a replaced time stays until it reaches the top, or until most entries are
such leftovers.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from amoc.throttle.profiles import NEVER_NS


class DueTimes:
    """One due time per name."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}

    @property
    def next_ns(self) -> int | None:
        """The earliest time, possibly a replaced one; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ns: int) -> Iterator[str]:
        """Remove and yield the names that are due; each may be given a new time meanwhile."""
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, name = heappop(self._heap)
            if self._due.get(name) == due_ns:
                del self._due[name]
                yield name

    def put(self, name: str, due_ns: int) -> bool:
        """Set or replace the time of `name`; `NEVER_NS` removes it.

        Returns:
            Whether it is now the earliest of all.
        """
        if due_ns >= NEVER_NS:
            self._due.pop(name, None)
            return False
        if self._due.get(name) == due_ns:
            return False
        self._due[name] = due_ns
        earliest = not self._heap or due_ns < self._heap[0][0]
        heappush(self._heap, (due_ns, name))
        if len(self._heap) > 4 * len(self._due) + 64:
            self._heap = [(due, one) for one, due in self._due.items()]
            heapify(self._heap)
        return earliest
