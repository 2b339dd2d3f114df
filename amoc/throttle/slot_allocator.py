"""The book of one throttle: who asks for slots, and who was dealt which. Pure.

Each worker says how many slots its users want beyond those it holds, as an absolute figure together
with the last block it has seen; what was dealt in later blocks is subtracted. So a report that is
repeated or late does no harm.

Slots are dealt a short horizon ahead, to those who ask, in turn: with three askers the first gets
slots 0, 3, 6, the second 1, 4, 7. Who wants no more drops out and the others go on, so no slot is
kept for one who does not need it, and nobody starves. Where each slot wakes a process up, the first
gets 0, 1, 2 and the second 3, 4, 5: waking up again soon costs a quarter less.

There the horizon is longer, too, the more so the further apart slots are, or messages would cost as
much as slots do. What was dealt so far ahead can be had back: an asker that finds no use for its
slots gives back the rest, and one that has none while others have some for later has those asked
back, to be dealt anew to all; unless there were too few for all when these were dealt, for others
would be without any then. What comes back last is laid out again, as if it had not been.

All of this is for a run on one host. The farther the farthest node is, the further ahead slots are
dealt, and a slot that would be too late there when it arrives is dealt to nobody.

No credit is saved: while nobody asks the row slides along, and the first slot is due when somebody
begins to wait; unless `every` slot counts, as one of an arrival rate does: then those that nobody
took are void. Slots that are dealt late still count, but what is more than `VOID_NS` late is void,
and counted. Slots of a lost worker that are still to come cannot have been used, so they are dealt
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Generic, TypeVar

from amoc.base.clock import MS_NS, S_NS, US_NS
from amoc.base.distance import Distance
from amoc.throttle.blocks import Account, Block
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_schedule import KEEP_NS, Change, SlotSchedule

HORIZON_NS = 100 * MS_NS
"""How far ahead slots are dealt that come close upon each other."""
ALONE_NS = 750 * US_NS
"""From which distance on each slot wakes a process up, see `amoc.throttle.worker`."""
FAR_APART_NS = 10 * MS_NS
"""From which distance on slots are; a message and its answer take less."""
AHEAD = 32
LONG_HORIZON_NS = 500 * MS_NS
"""How many slots that wake a process up are dealt ahead, and how far at least."""
MAX_HORIZON_NS = 4 * S_NS
"""How far ahead any slot is dealt."""
VOID_NS = 100 * MS_NS
"""A slot that is later than this is not used any more."""
SLACK_NS = 20 * MS_NS
"""How much earlier a slot is void that nobody asked for, where every slot counts: it would be too
late in the worker."""
ASK_BACK_NS = 40 * MS_NS
"""How long is waited for what was asked back."""
EARLY_NS = 30 * MS_NS
"""How much earlier than it is due a slot is at a node that is far away: that is in time there, see
`amoc.throttle.worker_queue`."""
_LOOK_NS = 10 * HORIZON_NS
"""How far the time of the next deal is looked for."""

Asker = TypeVar("Asker")


class SlotAllocator(Generic[Asker]):
    """Deals the slots of one throttle.

    Attributes:
        void: Slots that users wanted and that passed before they could be dealt.
    """

    def __init__(
        self, change: Change, distance: Distance | None = None, *, every: bool = False
    ) -> None:
        self._distance = distance or Distance()
        self._every = every
        self._void_ns = VOID_NS - SLACK_NS if every else VOID_NS
        self._row = SlotSchedule(change)
        self._accounts: dict[Asker, Account] = {}
        # What each deal takes must not grow with all askers, of which there may be thousands.
        self._wanting: set[Asker] = set()
        self._turn: list[tuple[int, Asker]] = []  # a heap; some want nothing any more
        self._turns = count()
        self._returned: list[Block] = []
        self._wait_ns = 0  # until when what was asked back may come
        self._owing: set[Asker] = set()  # of whom it is waited for
        self._scarce = False  # somebody was left with nothing when slots were dealt last
        self._maybe_later: set[Asker] = set()  # all who have slots for later, and some who had
        self._since_ns = change.from_ns
        self.void = 0

    @property
    def _far_ahead(self) -> bool:
        """Whether slots are dealt beyond `HORIZON_NS`."""
        return self._row.span.spacing_ns >= ALONE_NS

    def _way_ns(self) -> int:
        """How much earlier than here a slot is too late, for its way to the farthest node."""
        round_trip_ns = self._distance.round_trip_ns
        return min(2 * round_trip_ns, round_trip_ns // 2 + VOID_NS + EARLY_NS)

    def _look(self, asker: Asker, account: Account) -> None:
        """See whether `asker` wants something; then it waits for its turn."""
        if not account.demand:
            self._wanting.discard(asker)
            return
        self._wanting.add(asker)
        if not account.in_turn:
            account.in_turn = True
            heappush(self._turn, (account.served, asker))

    def _next(self, most: int) -> list[Asker]:
        """Up to `most` who want something, and whose turn it is."""
        found: list[Asker] = []
        while self._turn and len(found) < most:
            served, asker = heappop(self._turn)
            account = self._accounts.get(asker)
            if account is None or account.served != served:
                continue  # it was lost
            account.in_turn = False
            if account.demand:
                found.append(asker)
        return found

    def change(self, change: Change, now_ns: int) -> None:
        """Let `change` hold from its time on."""
        if self._every:
            self.skip_void(now_ns)
        elif not self._wanting:
            self._row.slide(now_ns - VOID_NS)  # or an idle row would keep all it ever was
            self._row.forget(now_ns - KEEP_NS)
        for account in self._accounts.values():
            account.forget(now_ns - VOID_NS)
        before = [self._size(one.recent) for one in self._accounts.values()]
        self._row.change(change)
        self._returned = self._not_void(self._returned)
        for account, size in zip(self._accounts.values(), before, strict=True):
            account.had -= size - self._size(account.recent)
            account.covered_ns = min(account.covered_ns, change.from_ns)

    def _not_void(self, blocks: list[Block]) -> list[Block]:
        return [
            block.part(0, left)
            for block in blocks
            if (left := block.first_from(self._row.ends_ns(block.epoch)))
        ]

    def _size(self, blocks: Iterable[Block]) -> int:
        """How many slots of `blocks` are not void."""
        return sum(block.first_from(self._row.ends_ns(block.epoch)) for block in blocks)

    def want(
        self,
        asker: Asker,
        outstanding: int,
        seen: int,
        since_ns: int,
        now_ns: int,
        given_back_ns: int = 0,
    ) -> None:
        """`asker` has said what it wants.

        Args:
            asker: Who.
            outstanding: Slots it wants beyond all that it has seen.
            seen: Number of the last block it has seen.
            since_ns: When the first who waits for one of these began to wait.
            now_ns: The time.
            given_back_ns: From when on it will not use what it has seen; 0 if it uses all.
        """
        account = self._accounts.get(asker)
        if account is None:
            account = self._accounts[asker] = Account(next(self._turns))
        if seen < account.seen or seen > account.dealt:
            return  # overtaken by a newer one, or not of this throttle
        account.outstanding = outstanding
        if seen != account.seen:
            account.seen = seen
            account.unseen = sum(block.size for block in account.recent if block.number > seen)
        account.forget(now_ns - VOID_NS)
        if given_back_ns:
            account.asked_back = False
            self._maybe_later.add(asker)
            self._owing.discard(asker)
            if not self._owing:
                self._wait_ns = 0
            self._wanting.discard(asker)
            self._take_back(account, given_back_ns)
        idle = not self._wanting
        if idle:
            self._scarce = False
        self._look(asker, account)
        if self._returned:
            self._offer_returned(now_ns)
        if idle and asker in self._wanting and not self._every:
            # Reports take a while: who began to wait before now has a right to the slots since.
            since_ns = min(now_ns, max(since_ns, self._since_ns))
            self._since_ns = max(since_ns, now_ns - VOID_NS + self._way_ns())
            self._row.slide(self._since_ns)

    def deal(self, now_ns: int) -> list[tuple[Asker, Block]]:
        """Blocks for those who ask, with all slots that are due within the horizon."""
        dealt: list[tuple[Asker, Block]] = []
        if self._wanting and now_ns >= self._wait_ns:
            self.void += self._row.skip(now_ns - self._void_ns + self._way_ns())
            if self._returned:
                self._deal_returned(now_ns, dealt)
            until_ns = now_ns + self._horizon_ns(now_ns)
            while self._wanting and (run := self._row.peek(until_ns)) is not None:
                block = Block(0, run.epoch, run.first, 1, run.size, run.due_ns, run.spacing_ns)
                self._row.take(self._share(block, dealt))
            self._scarce = self._next_has_none(now_ns)
        self._row.forget(now_ns - KEEP_NS)
        return dealt

    def _next_has_none(self, now_ns: int) -> bool:
        """Whether the next whose turn it is has no slots in hand."""
        while self._turn:
            served, asker = self._turn[0]
            account = self._accounts.get(asker)
            if account is not None and account.served == served:
                if account.demand:
                    return account.covered_ns <= now_ns
                account.in_turn = False
            heappop(self._turn)
        return False

    def skip_void(self, now_ns: int) -> None:
        """Count the slots as void that are too late by now."""
        self.void += self._row.skip(now_ns - self._void_ns)
        self._row.forget(now_ns - KEEP_NS)

    def due_before(self, t_ns: int) -> int:
        """How many slots were due before `t_ns` in all, where every slot counts."""
        self.void += self._row.skip(t_ns)
        return self._row.due_before(t_ns)

    def _horizon_ns(self, now_ns: int) -> int:
        span = self._row.span
        way_ns = 2 * self._distance.round_trip_ns
        if not ALONE_NS <= span.spacing_ns <= MAX_HORIZON_NS:
            return HORIZON_NS + way_ns
        far_ns = max(int(AHEAD * span.spacing_ns), LONG_HORIZON_NS)
        return way_ns + max(HORIZON_NS, min(far_ns, MAX_HORIZON_NS, span.end_ns - 1 - now_ns))

    def _deal_returned(self, now_ns: int, dealt: list[tuple[Asker, Block]]) -> None:
        returned, self._returned = self._returned, []
        for block in returned:
            too_late_ns = now_ns - self._void_ns + self._way_ns()
            late = block.first_from(max(too_late_ns, self._since_ns))
            # What is given back, and that is done where it was dealt far ahead, nobody has missed.
            slides = self._far_ahead and not self._every
            self.void += late - (block.first_from(self._since_ns) if slides else 0)
            while late < block.size and self._wanting:
                late += self._share(block.part(late, block.size), dealt)
            if late < block.size:
                self._returned.append(block.part(late, block.size))

    def _share(self, block: Block, dealt: list[tuple[Asker, Block]]) -> int:
        """Deal the first slots of `block`, as many to each asker; how many these are."""
        askers = self._next(block.size)
        stride = len(askers)
        accounts = [self._accounts[one] for one in askers]
        rounds = min(block.size // stride, *(one.demand for one in accounts))
        in_runs = ALONE_NS <= block.spacing_ns < FAR_APART_NS
        next_one, step = (rounds, 1) if in_runs else (1, stride)
        for index, (asker, account) in enumerate(zip(askers, accounts, strict=True)):
            account.dealt += 1
            account.unseen += rounds
            account.had += rounds
            own = Block(
                account.dealt,
                block.epoch,
                block.first + index * next_one * block.stride,
                step * block.stride,
                rounds,
                block.due_at(index * next_one),
                step * block.spacing_ns,
            )
            account.recent.append(own)
            account.covered_ns = max(account.covered_ns, own.due_at(rounds - 1))
            dealt.append((asker, own))
            self._maybe_later.add(asker)
            account.served = next(self._turns)
            self._look(asker, account)
        return stride * rounds

    def lost(self, asker: Asker, now_ns: int) -> int:
        """`asker` is no more: what it was dealt for later is dealt again; how many it has had."""
        account = self._accounts.pop(asker, None)
        if account is None:
            return 0
        self._wanting.discard(asker)
        self._owing.clear()
        self._wait_ns = 0
        account.seen = account.dealt  # or it was on its way
        self._take_back(account, now_ns + 1)
        if self._returned:
            self._offer_returned(now_ns)
        return account.had

    def _take_back(self, account: Account, from_ns: int) -> None:
        """The owner of `account` will not use what is due at `from_ns` or later."""
        blocks = self._not_void(account.cut(from_ns))
        account.had -= sum(block.size for block in blocks)
        self._returned = sorted(self._returned + blocks, key=lambda block: block.due_ns)
        while self._returned and self._far_ahead:
            last = max(self._returned, key=lambda block: block.due_at(block.size - 1))
            if not self._row.untake(last.epoch, last.first + (last.size - 1) * last.stride):
                break
            self._returned.remove(last)
            if last.size > 1:
                self._returned.append(last.part(0, last.size - 1))
                self._returned.sort(key=lambda block: block.due_ns)

    def _offer_returned(self, now_ns: int) -> None:
        """Nobody asks for what came back; but users of who has slots for later may come sooner."""
        if not self._far_ahead or self._wanting:
            return
        size = sum(block.size for block in self._returned)
        holders = self._holders(now_ns)
        for asker, account in holders:
            account.outstanding = account.unseen + ceil(size / len(holders))
            self._look(asker, account)

    def ask_back(self, now_ns: int) -> list[Asker]:
        """Who is asked now to give back what it was dealt for later; its answer is waited for.

        Who owes an answer already is not asked again: it may hang.
        """
        if not self._ask_back_due(now_ns):
            return []
        holders = self._holders(now_ns)
        self._wait_ns = now_ns + ASK_BACK_NS + self._distance.round_trip_ns
        for _, account in holders:
            account.asked_back = True
        asked = [asker for asker, _ in holders]
        self._owing = {*asked}
        return asked

    def _holders(self, now_ns: int) -> list[tuple[Asker, Account]]:
        """Who can be asked to give back what it was dealt for later."""
        maybe = [(one, self._accounts[one]) for one in self._maybe_later if one in self._accounts]
        holders = [it for it in maybe if self.has_later(it[1], now_ns)]
        self._maybe_later = {asker for asker, _ in holders}
        return holders

    def has_later(self, account: Account, now_ns: int) -> bool:
        """Whether its owner can be asked to give back what it was dealt for later."""
        if account.asked_back:
            return False
        return account.covered_ns > now_ns + HORIZON_NS + 2 * self._distance.round_trip_ns

    def _ask_back_due(self, now_ns: int) -> bool:
        accounts = self._accounts
        if self._scarce or len(accounts) == 1 or not self._far_ahead:
            return False
        # A generator would cost more than all else that a report of a slow throttle leads to.
        for one in self._wanting:
            if accounts[one].covered_ns <= now_ns:
                return self._any_has_later(now_ns)
        return False

    def _any_has_later(self, now_ns: int) -> bool:
        # Asked at each report, so nobody is looked at again before he is dealt more.
        while self._maybe_later:
            asker = self._maybe_later.pop()
            account = self._accounts.get(asker)
            if account is not None and self.has_later(account, now_ns):
                self._maybe_later.add(asker)
                return True
        return False

    def next_ns(self, now_ns: int) -> int:
        """When to deal again, if nobody asks for more until then."""
        if not self._wanting:
            return NEVER_NS
        if now_ns < self._wait_ns:
            return self._wait_ns
        if self._returned or self._ask_back_due(now_ns):
            return now_ns
        # At half the horizon, so that there is a block for many slots, and not one for each.
        due_ns = self._row.next_ns(now_ns + _LOOK_NS)
        return max(now_ns, due_ns - self._horizon_ns(now_ns) // 2)
