"""The slots of one throttle: which workers want some, and to whom each was dealt. Pure.

Each worker reports how many slots its users want beyond those it holds, as an absolute figure with
the number of the last block it has seen. Slots dealt in later blocks are subtracted, so a repeated
or late report does no harm.

Slots are dealt a short horizon ahead to the workers that want some, in turn: of three, the first
gets slots 0, 3, 6, the second 1, 4, 7. A worker that wants no more drops out and the others carry
on, so no slot is kept for a worker that does not need it, and none starves. Where each slot wakes
a process up, the first gets 0, 1, 2 and the second 3, 4, 5: waking up again soon costs a quarter
less.

There the horizon is longer, too, and grows with the spacing, or messages would cost as much as
slots do. Slots dealt so far ahead can come back. A worker that finds no use for its slots gives
back the rest. If a worker has none while others hold some for later, those are asked back and dealt
again to all; not, however, if there were too few for all in the last deal, as others would go
without then. The latest slots that come back are returned to the schedule as if they had never been
dealt.

All of this assumes one host. The longer the round trip to the farthest node, the further ahead
slots are dealt, and a slot that would arrive there too late is dealt to nobody.

Unused slots are not saved up: while nobody asks, the schedule slides along, and the first slot is
due when a user starts to wait. If `every` slot counts, as with an arrival rate, slots that nobody
took are void instead. Slots dealt late still count, but a slot more than `VOID_NS` late is void,
and counted as such. A lost worker's future slots cannot have been used, so they are dealt again.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Generic, TypeVar

from amoc.base.clock import MS_NS, S_NS, US_NS
from amoc.base.node_latency import NodeLatency
from amoc.throttle.blocks import Account, Block
from amoc.throttle.profiles import NEVER_NS
from amoc.throttle.slot_schedule import KEEP_NS, Change, SlotSchedule

HORIZON_NS = 100 * MS_NS
"""How far ahead slots are dealt that follow closely upon each other."""
ALONE_NS = 750 * US_NS
"""Least spacing at which each slot wakes a process up, see `amoc.throttle.worker`."""
FAR_APART_NS = 10 * MS_NS
"""Least spacing at which slots are far apart: a message and its answer take less."""
AHEAD = 32
LONG_HORIZON_NS = 500 * MS_NS
"""Slots that wake a process up: how many are dealt ahead, and how far ahead at least."""
MAX_HORIZON_NS = 4 * S_NS
"""The furthest that any slot is dealt ahead."""
VOID_NS = 100 * MS_NS
"""A slot later than this is not used."""
SLACK_NS = 20 * MS_NS
"""Where every slot counts, an unclaimed slot is void this much earlier: it would reach the worker
too late."""
ASK_BACK_NS = 40 * MS_NS
"""How long to wait for slots that were asked back."""
EARLY_NS = 30 * MS_NS
"""Slots reach a far node this long before they are due, which is in time there, see
`amoc.throttle.worker_queue`."""
_LOOK_NS = 10 * HORIZON_NS
"""How far ahead to search for the time of the next deal."""

Asker = TypeVar("Asker")


class SlotAllocator(Generic[Asker]):
    """Deals the slots of one throttle.

    Attributes:
        void: Wanted slots whose time passed before they could be dealt.
    """

    def __init__(
        self, change: Change, latency: NodeLatency | None = None, *, every: bool = False
    ) -> None:
        self._latency = latency or NodeLatency()
        self._every = every
        self._void_ns = VOID_NS - SLACK_NS if every else VOID_NS
        self._schedule = SlotSchedule(change)
        self._accounts: dict[Asker, Account] = {}
        # The cost of a deal must not grow with the number of workers, which may be thousands.
        self._wanting: set[Asker] = set()
        self._turn: list[tuple[int, Asker]] = []  # a heap; some no longer want any
        self._turns = count()
        self._returned: list[Block] = []
        self._wait_ns = 0  # until when to wait for slots asked back
        self._awaited: set[Asker] = set()  # workers that have not yet answered
        self._scarce = False  # the last deal left some worker with nothing
        self._may_hold_later: set[Asker] = set()  # all workers with later slots, and some without
        self._since_ns = change.from_ns
        self.void = 0

    @property
    def _far_ahead(self) -> bool:
        """Whether slots are dealt beyond `HORIZON_NS`."""
        return self._schedule.span.spacing_ns >= ALONE_NS

    def _way_ns(self) -> int:
        """Return how much earlier than here a slot is too late, on its way to the farthest node."""
        round_trip_ns = self._latency.round_trip_ns
        if not round_trip_ns:
            return 0
        return min(2 * round_trip_ns, round_trip_ns // 2 + VOID_NS + EARLY_NS)

    def _queue_turn(self, asker: Asker, account: Account) -> None:
        """Queue `asker` for its next turn if it wants slots."""
        if not account.demand:
            self._wanting.discard(asker)
            return
        self._wanting.add(asker)
        if not account.in_turn:
            account.in_turn = True
            heappush(self._turn, (account.served, asker))

    def _next(self, most: int) -> list[Asker]:
        """Return up to `most` workers that want slots, in the order of their turns."""
        found: list[Asker] = []
        while self._turn and len(found) < most:
            served, asker = heappop(self._turn)
            account = self._accounts.get(asker)
            if account is None or account.served != served:
                continue  # a worker that was lost
            account.in_turn = False
            if account.demand:
                found.append(asker)
        return found

    def change(self, change: Change, now_ns: int) -> None:
        """Apply `change` from its time on."""
        if self._every:
            self.skip_void(now_ns)
        elif not self._wanting:
            self._schedule.slide(now_ns - VOID_NS)  # otherwise an idle schedule would grow forever
            self._schedule.forget(now_ns - KEEP_NS)
        for account in self._accounts.values():
            account.forget(now_ns - VOID_NS)
        before = [self._size(one.recent) for one in self._accounts.values()]
        self._schedule.change(change)
        self._returned = self._not_void(self._returned)
        for account, size in zip(self._accounts.values(), before, strict=True):
            account.had -= size - self._size(account.recent)
            account.covered_ns = min(account.covered_ns, change.from_ns)

    def _not_void(self, blocks: list[Block]) -> list[Block]:
        return [
            block.part(0, left)
            for block in blocks
            if (left := block.first_from(self._schedule.ends_ns(block.epoch)))
        ]

    def _size(self, blocks: Iterable[Block]) -> int:
        """Return how many slots of `blocks` are not void."""
        return sum(block.first_from(self._schedule.ends_ns(block.epoch)) for block in blocks)

    def want(
        self,
        asker: Asker,
        outstanding: int,
        seen: int,
        since_ns: int,
        now_ns: int,
        given_back_ns: int = 0,
    ) -> None:
        """Process `asker`'s report of its demand.

        Args:
            asker: The worker.
            outstanding: Slots it wants beyond all that it has seen.
            seen: Number of the last block it has seen.
            since_ns: When the first user that these slots are for started to wait.
            now_ns: The time.
            given_back_ns: It will not use slots due from this time on; 0 if it keeps all.
        """
        account = self._accounts.get(asker)
        if account is None:
            account = self._accounts[asker] = Account(next(self._turns))
        if seen < account.seen or seen > account.dealt:
            return  # overtaken by a newer report, or about an earlier throttle of this name
        account.outstanding = outstanding
        if seen != account.seen:
            account.seen = seen
            account.unseen = sum(block.size for block in account.recent if block.number > seen)
        account.forget(now_ns - VOID_NS)
        if given_back_ns:
            account.asked_back = False
            self._may_hold_later.add(asker)
            self._awaited.discard(asker)
            if not self._awaited:
                self._wait_ns = 0
            self._wanting.discard(asker)
            self._take_back(account, given_back_ns)
        idle = not self._wanting
        if idle:
            self._scarce = False
        self._queue_turn(asker, account)
        if self._returned:
            self._offer_returned(now_ns)
        if idle and asker in self._wanting and not self._every:
            # Reports take a while: a user that started waiting earlier may use the slots since.
            since_ns = min(now_ns, max(since_ns, self._since_ns))
            self._since_ns = max(since_ns, now_ns - VOID_NS + self._way_ns())
            self._schedule.slide(self._since_ns)

    def deal(self, now_ns: int) -> list[tuple[Asker, Block]]:
        """Deal all slots that are due within the horizon to the workers that want some."""
        dealt: list[tuple[Asker, Block]] = []
        if self._wanting and now_ns >= self._wait_ns:
            self.void += self._schedule.skip(now_ns - self._void_ns + self._way_ns())
            if self._returned:
                self._deal_returned(now_ns, dealt)
            until_ns = now_ns + self._horizon_ns(now_ns)
            while self._wanting and (run := self._schedule.peek(until_ns)) is not None:
                block = Block(0, run.epoch, run.first, 1, run.size, run.due_ns, run.spacing_ns)
                self._schedule.take(self._share(block, dealt))
            self._scarce = self._next_has_none(now_ns)
        self._schedule.forget(now_ns - KEEP_NS)
        return dealt

    def _next_has_none(self, now_ns: int) -> bool:
        """Return whether the worker whose turn is next has no slots available."""
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
        """Count as void the slots that are too late by now."""
        self.void += self._schedule.skip(now_ns - self._void_ns)
        self._schedule.forget(now_ns - KEEP_NS)

    def due_before(self, t_ns: int) -> int:
        """Return how many slots were due before `t_ns` in all, where every slot counts."""
        self.void += self._schedule.skip(t_ns)
        return self._schedule.due_before(t_ns)

    def _horizon_ns(self, now_ns: int) -> int:
        span = self._schedule.span
        way_ns = 2 * self._latency.round_trip_ns
        if not ALONE_NS <= span.spacing_ns <= MAX_HORIZON_NS:
            return HORIZON_NS + way_ns
        far_ns = int(AHEAD * span.spacing_ns)
        if far_ns < LONG_HORIZON_NS:
            far_ns = LONG_HORIZON_NS
        elif far_ns > MAX_HORIZON_NS:
            far_ns = MAX_HORIZON_NS
        left_ns = span.end_ns - 1 - now_ns
        return way_ns + (far_ns if far_ns <= left_ns else max(HORIZON_NS, left_ns))

    def _deal_returned(self, now_ns: int, dealt: list[tuple[Asker, Block]]) -> None:
        returned, self._returned = self._returned, []
        for block in returned:
            too_late_ns = now_ns - self._void_ns + self._way_ns()
            late = block.first_from(max(too_late_ns, self._since_ns))
            # Slots are given back where they were dealt far ahead: nobody has missed those.
            slides = self._far_ahead and not self._every
            self.void += late - (block.first_from(self._since_ns) if slides else 0)
            while late < block.size and self._wanting:
                late += self._share(block.part(late, block.size), dealt)
            if late < block.size:
                self._returned.append(block.part(late, block.size))

    def _share(self, block: Block, dealt: list[tuple[Asker, Block]]) -> int:
        """Deal the first slots of `block`, equally many to each worker; return how many in all."""
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
            last_ns = own.due_at(rounds - 1)
            if last_ns > account.covered_ns:
                account.covered_ns = last_ns
            dealt.append((asker, own))
            self._may_hold_later.add(asker)
            account.served = next(self._turns)
            self._queue_turn(asker, account)
        return stride * rounds

    def lost(self, asker: Asker, now_ns: int) -> int:
        """Deal a lost worker's future slots again; return how many slots it has had."""
        account = self._accounts.pop(asker, None)
        if account is None:
            return 0
        self._wanting.discard(asker)
        self._awaited.clear()
        self._wait_ns = 0
        account.seen = account.dealt  # blocks may have been on their way
        self._take_back(account, now_ns + 1)
        if self._returned:
            self._offer_returned(now_ns)
        return account.had

    def _take_back(self, account: Account, from_ns: int) -> None:
        """Take back the slots of `account` that are due at `from_ns` or later."""
        blocks = self._not_void(account.cut(from_ns))
        account.had -= sum(block.size for block in blocks)
        self._returned = sorted(self._returned + blocks, key=lambda block: block.due_ns)
        while self._returned and self._far_ahead:
            last = max(self._returned, key=lambda block: block.due_at(block.size - 1))
            if not self._schedule.untake(last.epoch, last.first + (last.size - 1) * last.stride):
                break
            self._returned.remove(last)
            if last.size > 1:
                self._returned.append(last.part(0, last.size - 1))
                self._returned.sort(key=lambda block: block.due_ns)

    def _offer_returned(self, now_ns: int) -> None:
        """If no worker wants the returned slots, offer them to holders of later slots.

        Their users may come sooner than those slots.
        """
        if not self._far_ahead or self._wanting:
            return
        size = sum(block.size for block in self._returned)
        holders = self._holders(now_ns)
        for asker, account in holders:
            account.outstanding = account.unseen + ceil(size / len(holders))
            self._queue_turn(asker, account)

    def ask_back(self, now_ns: int) -> list[Asker]:
        """Return the workers to ask now for their later slots, and wait for their answers.

        A worker that owes an answer is not asked again: it may be hanging.
        """
        if not self._ask_back_due(now_ns):
            return []
        holders = self._holders(now_ns)
        self._wait_ns = now_ns + ASK_BACK_NS + self._latency.round_trip_ns
        for _, account in holders:
            account.asked_back = True
        asked = [asker for asker, _ in holders]
        self._awaited = {*asked}
        return asked

    def _holders(self, now_ns: int) -> list[tuple[Asker, Account]]:
        """Return the workers that can be asked to give back later slots."""
        maybe = [
            (one, self._accounts[one]) for one in self._may_hold_later if one in self._accounts
        ]
        holders = [it for it in maybe if self.has_later(it[1], now_ns)]
        self._may_hold_later = {asker for asker, _ in holders}
        return holders

    def has_later(self, account: Account, now_ns: int) -> bool:
        """Return whether the owner of `account` can be asked to give back later slots."""
        if account.asked_back:
            return False
        return account.covered_ns > now_ns + HORIZON_NS + 2 * self._latency.round_trip_ns

    def _ask_back_due(self, now_ns: int) -> bool:
        accounts = self._accounts
        if self._scarce or len(accounts) == 1 or not self._far_ahead:
            return False
        # A generator would cost more than everything else in a report about a slow throttle.
        for one in self._wanting:
            if accounts[one].covered_ns <= now_ns:
                return self._any_has_later(now_ns)
        return False

    def _any_has_later(self, now_ns: int) -> bool:
        # Called at each report, so a worker is not checked again before it is dealt more.
        while self._may_hold_later:
            asker = self._may_hold_later.pop()
            account = self._accounts.get(asker)
            if account is not None and self.has_later(account, now_ns):
                self._may_hold_later.add(asker)
                return True
        return False

    def next_ns(self, now_ns: int) -> int:
        """Return when to deal again, if no worker asks for more until then."""
        if not self._wanting:
            return NEVER_NS
        if now_ns < self._wait_ns:
            return self._wait_ns
        if self._returned or self._ask_back_due(now_ns):
            return now_ns
        # At half the horizon, to get one block of many slots rather than a block for each slot.
        due_ns = self._schedule.next_ns(now_ns + _LOOK_NS)
        return max(now_ns, due_ns - self._horizon_ns(now_ns) // 2)
