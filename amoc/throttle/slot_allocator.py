"""The book of one throttle: who asks for slots, and who was dealt which. Pure.

Each worker says how many slots its users want beyond those it holds, as an absolute figure together
with the last block it has seen; what was dealt in later blocks is subtracted. So a report that is
repeated or late does no harm.

Slots are dealt a short horizon ahead, to those who ask, in turn: with three askers the first gets
slots 0, 3, 6, the second 1, 4, 7. Who wants no more drops out and the others go on, so no slot is
kept for one who does not need it, and nobody starves.

No credit is saved: while nobody asks the row slides along, and the first slot is due when somebody
begins to wait. Slots that are dealt late still count, but what is more than `VOID_NS` late is void,
and counted. Slots of a lost worker that are still to come cannot have been used, so they are dealt
again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import Generic, NamedTuple, TypeVar

from amoc.base.clock import MS_NS
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_schedule import KEEP_NS, Change, SlotSchedule

HORIZON_NS = 100 * MS_NS
"""How far ahead slots are dealt."""
VOID_NS = 100 * MS_NS
"""A slot that is later than this is not used any more."""
_LOOK_NS = 10 * HORIZON_NS
"""How far the time of the next deal is looked for."""

Asker = TypeVar("Asker")


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
class _Account:
    """What is known of one asker."""

    outstanding: int = 0
    seen: int = 0
    dealt: int = 0
    """Number of the last block."""
    unseen: int = 0
    """Slots in blocks that it had not seen when it asked."""
    recent: deque[Block] = field(default_factory=deque)
    """Blocks that it has not seen or that are not over."""

    @property
    def demand(self) -> int:
        return max(0, self.outstanding - self.unseen)

    def heard(self, outstanding: int, seen: int) -> None:
        self.outstanding = outstanding
        if seen != self.seen:
            self.seen = seen
            self.unseen = sum(block.size for block in self.recent if block.number > seen)

    def forget(self, now_ns: int) -> None:
        recent = self.recent
        while (
            recent
            and recent[0].number <= self.seen
            and recent[0].due_at(recent[0].size - 1) <= now_ns
        ):
            recent.popleft()


class SlotAllocator(Generic[Asker]):
    """Deals the slots of one throttle.

    Attributes:
        void: Slots that users wanted and that passed before they could be dealt.
    """

    def __init__(self, change: Change) -> None:
        self._row = SlotSchedule(change)
        self._accounts: dict[Asker, _Account] = {}
        self._turn: list[Asker] = []
        self._returned: list[Block] = []
        self._since_ns = change.from_ns
        self.void = 0

    @property
    def _wanted(self) -> bool:
        return any(account.demand for account in self._accounts.values())

    def change(self, change: Change, now_ns: int) -> None:
        """Let `change` hold from its time on."""
        if not self._wanted:
            self._row.slide(now_ns - VOID_NS)  # or an idle row would keep all it ever was
            self._row.forget(now_ns - KEEP_NS)
        self._row.change(change)
        self._returned = [
            block.part(0, left)
            for block in self._returned
            if (left := block.first_from(self._row.ends_ns(block.epoch)))
        ]

    def want(self, asker: Asker, outstanding: int, seen: int, since_ns: int, now_ns: int) -> None:
        """`asker` has said what it wants.

        Args:
            asker: Who.
            outstanding: Slots it wants beyond all that it has seen.
            seen: Number of the last block it has seen.
            since_ns: When the first who waits for one of these began to wait.
            now_ns: The time.
        """
        account = self._accounts.get(asker)
        if account is None:
            account = self._accounts[asker] = _Account()
            self._turn.append(asker)
        if seen < account.seen or seen > account.dealt:
            return  # overtaken by a newer one, or not of this throttle
        idle = not self._wanted
        account.heard(outstanding, seen)
        if idle and account.demand:
            # Reports take a while: who began to wait before now has a right to the slots since.
            self._since_ns = min(now_ns, max(since_ns, now_ns - VOID_NS, self._since_ns))
            self._row.slide(self._since_ns)

    def deal(self, now_ns: int) -> list[tuple[Asker, Block]]:
        """Blocks for those who ask, with all slots that are due within the horizon."""
        for account in self._accounts.values():
            account.forget(now_ns)
        active = [asker for asker in self._turn if self._accounts[asker].demand]
        dealt: list[tuple[Asker, Block]] = []
        if active:
            self.void += self._row.skip(now_ns - VOID_NS)
            self._deal_returned(active, now_ns, dealt)
            self._deal_fresh(active, now_ns + HORIZON_NS, dealt)
        self._row.forget(now_ns - KEEP_NS)
        return dealt

    def _deal_returned(
        self, active: list[Asker], now_ns: int, dealt: list[tuple[Asker, Block]]
    ) -> None:
        returned, self._returned = self._returned, []
        for block in returned:
            late = block.first_from(max(now_ns - VOID_NS, self._since_ns))
            self.void += late
            while late < block.size and active:
                demand = self._accounts[active[0]].demand
                stop = min(block.size, late + demand)
                self._enter(active[0], block.part(late, stop), dealt)
                self._next_turn(active, 1)
                late = stop
            if late < block.size:
                self._returned.append(block.part(late, block.size))

    def _deal_fresh(
        self, active: list[Asker], until_ns: int, dealt: list[tuple[Asker, Block]]
    ) -> None:
        while active and (run := self._row.peek(until_ns)) is not None:
            stride = min(len(active), run.size)
            least = min(self._accounts[one].demand for one in active[:stride])
            rounds = min(run.size // stride, least)
            for index in range(stride):
                block = Block(
                    number=0,
                    epoch=run.epoch,
                    first=run.first + index,
                    stride=stride,
                    size=rounds,
                    due_ns=run.due_ns + ceil(index * run.spacing_ns),
                    spacing_ns=stride * run.spacing_ns,
                )
                self._enter(active[index], block, dealt)
            self._row.take(stride * rounds)
            self._next_turn(active, stride)

    def _enter(self, asker: Asker, block: Block, dealt: list[tuple[Asker, Block]]) -> None:
        account = self._accounts[asker]
        account.dealt += 1
        account.unseen += block.size
        block = block._replace(number=account.dealt)
        account.recent.append(block)
        dealt.append((asker, block))

    def _next_turn(self, active: list[Asker], served: int) -> None:
        """The first `served` of `active` have had their turn; who wants no more drops out."""
        done = active[:served]
        self._turn = [one for one in self._turn if one not in done] + done
        rest = active[served:]
        active[:] = rest + [one for one in done if self._accounts[one].demand]

    def lost(self, asker: Asker, now_ns: int) -> None:
        """`asker` is no more: what it was dealt for later is dealt again."""
        account = self._accounts.pop(asker, None)
        if account is None:
            return
        self._turn.remove(asker)
        for block in account.recent:
            stop = block.first_from(self._row.ends_ns(block.epoch))
            start = min(stop, block.first_from(now_ns + 1))
            if start < stop:
                self._returned.append(block.part(start, stop))
        self._returned.sort(key=lambda block: block.due_ns)

    def next_ns(self, now_ns: int) -> int:
        """When to deal again, if nobody asks for more until then."""
        if not self._wanted:
            return NEVER_NS
        if self._returned:
            return now_ns
        # At half the horizon, so that there is a block for many slots, and not one for each.
        return max(now_ns, self._row.next_ns(now_ns + _LOOK_NS) - HORIZON_NS // 2)
