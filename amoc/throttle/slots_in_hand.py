"""The slots that a worker has of one throttle, in blocks, until their times. Pure.

Slots may be dropped or given back from a time on: a change makes them void, or nobody comes for one
and others may have use for the rest. Until the controller was told of what is given back, blocks
that come are cut in the same way, for it will take these to be given back, too.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from math import ceil

from amoc.throttle.blocks import Block
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_allocator import FAR_APART_NS


class _Entry(list[int]):
    """When the next slot of a block is due, and the number of the block; first things first."""

    __slots__ = ("block", "mark", "used")
    block: Block
    used: int
    mark: int


class SlotsInHand:
    """Slots to be used at their times.

    Attributes:
        size: How many there are.
        next_ns: When the next one is due.
        covered_ns: When the last one is due.
        far_apart: Whether those that came last are.
        given_back_ns: From when on they are given back, and the controller was not told.
    """

    __slots__ = ("_heap", "covered_ns", "far_apart", "given_back_ns", "next_ns", "size")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self.size = self.covered_ns = self.given_back_ns = 0
        self.next_ns = NEVER_NS
        self.far_apart = False

    def put(self, block: Block, void_ns: int, mark: int) -> None:
        """Put `block`, but for what is due at `void_ns` or later; its slots come with `mark`."""
        self.far_apart = block.spacing_ns >= FAR_APART_NS
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
        """Take the next one; there is one.

        Returns:
            When it is due, its block, its number, and the mark it was put with.
        """
        heap = self._heap
        entry = heap[0]
        block, index = entry.block, entry.used
        slot = entry[0], block, block.first + index * block.stride, entry.mark
        self.size -= 1
        index += 1
        if index == block.size:
            heappop(heap)
        else:
            entry.used = index
            entry[0] = block.due_ns + ceil(index * block.spacing_ns)
            if len(heap) > 1:
                heapreplace(heap, entry)
        self.next_ns = heap[0][0] if heap else NEVER_NS
        return slot

    def drop(self, from_ns: int) -> None:
        """Drop what is due at `from_ns` or later."""
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
        """Let others have what is due at `from_ns` or later."""
        self.drop(from_ns)
        self.given_back_ns = min(from_ns, self.given_back_ns or NEVER_NS)
