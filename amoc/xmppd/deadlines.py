"""Pure. Deadlines for very many things that all get the same time limit.

So they fall due in the order in which they were started, and a dictionary, which keeps that order,
is the whole data structure: no heap, and no timer per connection.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from amoc.base.clock import S_NS

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Things that each must finish within the same number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._allowed_ns = int(seconds * S_NS)
        self._due_ns: dict[T, int] = {}
        self._now_ns = 0

    def __len__(self) -> int:
        return len(self._due_ns)

    def tick(self, now_ns: int) -> list[T]:
        """Advance the clock; remove and return what is overdue at `now_ns`."""
        self._now_ns = now_ns
        overdue = []
        for thing, due_ns in self._due_ns.items():
            if due_ns > now_ns:
                break
            overdue.append(thing)
        for thing in overdue:
            del self._due_ns[thing]
        return overdue

    def restart(self, thing: T) -> None:
        """Give `thing` the full time, counted from the last tick."""
        self._due_ns.pop(thing, None)
        self._due_ns[thing] = self._now_ns + self._allowed_ns

    def discard(self, thing: T) -> None:
        """Remove the deadline of `thing`, if it has one."""
        self._due_ns.pop(thing, None)
