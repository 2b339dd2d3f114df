"""Blocks of slots, and what one asker of a throttle was dealt of them. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple


class Block(NamedTuple):
    """Slots for one worker: `first`, `first + stride`, …, `size` of them."""

    number: int
    """One more than that of the worker's block before."""
    epoch: int
    first: int
    stride: int
    size: int
    due_ns: int
    """Of the first."""
    spacing_ns: float
    """Between two of these, not of all slots."""

    def due_at(self, index: int) -> int:
        """When the block's slot `index` is due."""
        return self.due_ns + ceil(index * self.spacing_ns)

    def first_from(self, t_ns: int) -> int:
        """Index of its first slot that is due at `t_ns` or later; `size` if there is none."""
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
        """Its slots from `start` up to `stop`, as an index."""
        return self._replace(
            first=self.first + start * self.stride, size=stop - start, due_ns=self.due_at(start)
        )


@dataclass(slots=True)
class Account:
    """What is known of one asker."""

    served: int
    """How many turns there had been when it had its last one, or came."""
    in_turn: bool = False
    """Whether it stands where those stand who wait for their turn."""
    outstanding: int = 0
    seen: int = 0
    dealt: int = 0
    """Number of the last block."""
    unseen: int = 0
    """Slots in blocks that it had not seen when it asked."""
    recent: deque[Block] = field(default_factory=deque)
    """Blocks that it has not seen or that are not long over."""
    covered_ns: int = 0
    """When the last slot that it holds is due."""
    had: int = 0
    """All slots that it was dealt, but those that are void or that others get."""
    asked_back_ns: int = 0
    """Until when it is waited for what it was asked to give back; 0 when it owes no answer."""

    @property
    def demand(self) -> int:
        """How many slots it wants beyond those that it was dealt."""
        return max(0, self.outstanding - self.unseen)

    def forget(self, before_ns: int) -> None:
        """Drop blocks that it has seen and that were over before."""
        recent = self.recent
        while (
            recent
            and recent[0].number <= self.seen
            and recent[0].due_at(recent[0].size - 1) <= before_ns
        ):
            recent.popleft()

    def cut(self, from_ns: int) -> list[Block]:
        """Take away what it has seen that is due at `from_ns` or later."""
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
