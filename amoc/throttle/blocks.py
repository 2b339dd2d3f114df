"""Blocks of slots: those dealt to one worker, and those that a worker has available. Pure.

A worker may drop or give back all slots from a given time on: a change makes them void, or no user
comes for one and other workers may need the rest. Until the controller has been told, blocks that
arrive are cut at the same time, because it will treat their slots as given back, too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from math import ceil
from typing import NamedTuple

from amoc.throttle.profiles import NEVER_NS


class Block(NamedTuple):
    """Slots for one worker: `first`, `first + stride`, …, `size` of them."""

    number: int
    """Number of the worker's previous block, plus one."""
    epoch: int
    first: int
    stride: int
    size: int
    due_ns: int
    """When the first slot is due."""
    spacing_ns: float
    """Between two slots of this block, not of the whole throttle."""

    def due_at(self, index: int) -> int:
        """Return when the block's slot `index` is due."""
        return self.due_ns + ceil(index * self.spacing_ns)

    def first_from(self, t_ns: int) -> int:
        """Return the index of the first slot due at `t_ns` or later; `size` if there is none."""
        if t_ns <= self.due_ns:
            return 0
        if self.size == 1:
            return 1
        index = min(self.size, int((t_ns - self.due_ns) / self.spacing_ns))
        while index and self.due_at(index - 1) >= t_ns:
            index -= 1
        while index < self.size and self.due_at(index) < t_ns:
            index += 1
        return index

    def part(self, start: int, stop: int) -> Block:
        """Return the slots with indexes from `start` up to, not including, `stop`."""
        return self._replace(
            first=self.first + start * self.stride, size=stop - start, due_ns=self.due_at(start)
        )


@dataclass(slots=True)
class Account:
    """The allocator's record of one worker."""

    served: int
    """Turns taken by all workers when it last had its own, or joined."""
    in_turn: bool = False
    """Whether it is in the queue for its next turn."""
    outstanding: int = 0
    seen: int = 0
    dealt: int = 0
    """Number of the last block."""
    unseen: int = 0
    """Slots in blocks that it had not seen when it last reported."""
    recent: deque[Block] = field(default_factory=deque)
    """Blocks that it has not seen, or that ended only recently."""
    covered_ns: int = 0
    """When the last slot that it holds is due."""
    had: int = 0
    """Slots dealt to it in all, without those that became void or went to other workers."""
    asked_back: bool = False
    """Whether it has been asked to give back its later slots, and has not answered yet."""

    @property
    def demand(self) -> int:
        """How many slots it wants beyond those already dealt to it."""
        # Read four times for each report; max() would take as long as three comparisons.
        return self.outstanding - self.unseen if self.outstanding > self.unseen else 0

    def forget(self, before_ns: int) -> None:
        """Drop blocks that it has seen and whose last slot was due by `before_ns`."""
        recent = self.recent
        while (
            recent
            and recent[0].number <= self.seen
            and recent[0].due_at(recent[0].size - 1) <= before_ns
        ):
            recent.popleft()

    def cut(self, from_ns: int) -> list[Block]:
        """Remove, and return, the slots it has seen that are due at `from_ns` or later."""
        gone, kept = [], deque[Block]()
        for block in self.recent:
            stop = block.size if block.number > self.seen else block.first_from(from_ns)
            if stop < block.size:
                gone.append(block.part(stop, block.size))
            if stop:
                kept.append(block.part(0, stop))
        self.recent = kept
        self.covered_ns = min(self.covered_ns, from_ns)
        return gone


class _Entry(list[int]):
    """Heap entry: due time of a block's next slot, and the block's number as tie-breaker."""

    __slots__ = ("block", "mark", "used")
    block: Block
    used: int
    mark: int


class SlotStock:
    """Slots that a worker has available, each to be used at its time.

    Attributes:
        size: How many there are.
        next_ns: When the next one is due.
        covered_ns: When the last one is due.
        spacing_ns: Spacing of the block that arrived last.
        given_back_ns: Slots from this time on are given back, which the controller does not know
            yet; 0 if none are.
    """

    __slots__ = ("_heap", "covered_ns", "given_back_ns", "next_ns", "size", "spacing_ns")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self.size = self.covered_ns = self.given_back_ns = 0
        self.next_ns = NEVER_NS
        self.spacing_ns = 0.0

    def put(self, block: Block, void_ns: int, mark: int) -> None:
        """Add `block` without slots due at `void_ns` or later; `take` returns `mark` with each."""
        self.spacing_ns = block.spacing_ns
        until_ns = min(void_ns, self.given_back_ns or NEVER_NS)
        if until_ns < NEVER_NS:
            block = block.part(0, block.first_from(until_ns))
        if block.size:
            self.size += block.size
            self.covered_ns = max(self.covered_ns, block.due_at(block.size - 1))
            entry = _Entry((block.due_ns, block.number))
            entry.block, entry.used, entry.mark = block, 0, mark
            heappush(self._heap, entry)
            self.next_ns = self._heap[0][0]

    def take(self) -> tuple[int, Block, int, int]:
        """Take the next slot; there must be one.

        Returns:
            When it is due, its block, its number, and the mark passed to `put`.
        """
        heap = self._heap
        entry = heap[0]
        block, index = entry.block, entry.used
        # Unpacked, because looking up a field of a named tuple takes as long as all of them here.
        _, _, first, stride, size, begin_ns, spacing_ns = block
        slot = entry[0], block, first + index * stride, entry.mark
        self.size -= 1
        index += 1
        if index < size:
            entry.used = index
            entry[0] = self.next_ns = begin_ns + ceil(index * spacing_ns)
            if len(heap) == 1:
                return slot
            heapreplace(heap, entry)
        else:
            heappop(heap)
        self.next_ns = heap[0][0] if heap else NEVER_NS
        return slot

    def drop(self, from_ns: int) -> None:
        """Drop the slots due at `from_ns` or later."""
        kept = []
        for entry in self._heap:
            block, index = entry.block, entry.used
            stop = block.first_from(from_ns)
            self.size -= block.size - max(index, stop)
            if index < stop:
                entry.block = block.part(0, stop)
                kept.append(entry)
        kept.sort()
        self._heap = kept
        self.covered_ns = min(self.covered_ns, from_ns)
        self.next_ns = kept[0][0] if kept else NEVER_NS

    def give_back(self, from_ns: int) -> None:
        """Give back the slots due at `from_ns` or later, for other workers."""
        self.drop(from_ns)
        self.given_back_ns = min(from_ns, self.given_back_ns or NEVER_NS)
