"""Who runs where: a user's id alone decides its worker, and by that its node. Pure.

Everybody who knows the layout can tell a user's place without asking. Ids go to the nodes by turns
(`round_robin`), in blocks (`blocks`) or in proportion to their cores (`weighted`), and on each node
round its workers. Workers are numbered over the whole run, node by node.

When a node is lost its users move to the workers that are left; users that are added on chosen
nodes move there before they start, and where a node joins, those that were not dealt yet move to
all that are there then. The others stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import gcd, lcm

from amoc.ipc.messages.placement import Layout, Move

RULES = ("round-robin", "blocks", "weighted")
MAX_TABLE = 1 << 15
"""Ids after which the workers of a node may begin anew though not all have had their turn."""
_GOLDEN = 0x9E3779B97F4A7C15


def one_node(workers: int) -> Layout:
    """The layout of a run on one node."""
    return Layout([workers], [0])


def round_robin(workers: Sequence[int], nodes: Sequence[int] = ()) -> Layout:
    """User 1 to the first node, user 2 to the second, and so on; only to these `nodes`, if any."""
    return Layout(workers, list(nodes or range(len(workers))))


def blocks(workers: Sequence[int], ids: range, nodes: Sequence[int] = ()) -> Layout:
    """As many ids in a row to each node as give each its part of the planned `ids`."""
    seats = list(nodes or range(len(workers)))
    return Layout(workers, seats, max(1, -(-len(ids) // len(seats))), ids.start)


def weighted(workers: Sequence[int], weights: Sequence[int]) -> Layout:
    """To each node in proportion to its weight, as evenly in between as can be."""
    common = gcd(*weights)
    turns = [
        ((turn + 0.5) * common / weight, node)
        for node, weight in enumerate(weights)
        for turn in range(weight // common)
    ]
    return Layout(workers, [node for _, node in sorted(turns)])


def by_worker(workers: Sequence[int]) -> Layout:
    """Each worker's ids are an arithmetic progression, and all workers have as many of them."""
    return weighted(workers, workers)


def layout_of(
    rule: str,
    workers: Sequence[int],
    cores: Sequence[int],
    ids: range,
    *,
    by_slots: bool = False,
    nodes: Sequence[int] = (),
) -> Layout:
    """The layout by one of `RULES`.

    Args:
        rule: Which.
        workers: How many each node has.
        cores: How many each node has.
        ids: The planned ones.
        by_slots: Whether no user is dealt: those of an arrival rate are started where a slot goes.
        nodes: The only ones that get users, by their numbers; empty means all.
    """
    if len(workers) == 1:
        return one_node(workers[0])
    if by_slots:
        return by_worker(workers)
    if rule == "blocks":
        return blocks(workers, ids, nodes)
    if rule == "weighted":
        only = nodes or range(len(workers))
        return weighted(workers, [of * (node in only) for node, of in enumerate(cores)])
    return round_robin(workers, nodes)


class Placement:
    """Says on which worker a user is.

    Attributes:
        workers: How many workers there are in the run, with those that were lost, and those of
            nodes that may still join.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.workers = sum(layout.workers)
        self._first = [0, *accumulate(layout.workers)]
        self._moves: list[Move] = []
        self._lost: list[frozenset[int]] = []  # workers, by move
        self._table = turns_of(layout, self._first) if layout.block == 1 else []
        self._seats: dict[int, list[int]] = {}
        for seat, worker in enumerate(self._table):
            self._seats.setdefault(worker, []).append(seat)

    def numbers(self, node: int) -> range:
        """The workers of a node."""
        return range(self._first[node], self._first[node + 1])

    def move(self, move: Move) -> None:
        """Some users are elsewhere from now on."""
        self._moves.append(Move(*move))
        self._lost.append(frozenset(move.lost))

    @property
    def moves(self) -> Sequence[Move]:
        """All moves so far, in their order."""
        return self._moves

    def share(self, count: int, worker: int) -> int:
        """How many of `count` users are `worker`'s where all that are there have as many."""
        found = set(range(self._first[self.layout.begun or -1]))
        for move in self._moves:
            found = found.difference(move.lost) if move.lost else found.union(move.to)
        there = sorted(found)
        return len(range(there.index(worker), count, len(there))) if worker in found else 0

    def worker_of(self, user_id: int) -> int:
        """The worker of a user."""
        if self._table:
            worker = self._table[(user_id - self.layout.origin) % len(self._table)]
        else:
            worker = self._in_blocks(user_id)
        for (first, last, _, to), lost in zip(self._moves, self._lost, strict=True):
            if not first <= user_id <= last:
                continue
            if not lost:
                worker = to[(user_id - first) % len(to)]
            elif worker in lost:
                # Ids of one worker have a step, which must not fit the number of those they go to.
                worker = to[(user_id * _GOLDEN >> 32 & 0xFFFFFFFF) * len(to) >> 32]
        return worker

    def ids_of(self, first: int, last: int, *workers: int) -> Sequence[range]:
        """Those of the ids `first` to `last` that are on these workers, as ascending progressions.

        Where users have moved, several workers take no longer than one.
        """
        mine = frozenset(workers)
        for move in reversed(self._moves):
            if move.last < first or last < move.first:
                continue
            if move.lost or first < move.first or move.last < last:
                return self._moved_ids(first, last, mine)
            turns, ahead = len(move.to), first - move.first
            starts = (
                first + (turn - ahead) % turns for turn, to in enumerate(move.to) if to in mine
            )
            return [ids for start in starts if (ids := range(start, last + 1, turns))]
        return [ids for worker in workers for ids in self.planned_ids(first, last, worker)]

    def _moved_ids(self, first: int, last: int, workers: frozenset[int]) -> Sequence[range]:
        sources, found = set(workers), set[int]()
        for move in reversed(self._moves):
            if sources.intersection(move.to):
                sources.update(move.lost)
                if not move.lost:
                    found.update(range(max(first, move.first), min(last, move.last) + 1))
        for source in sources:
            for ids in self.planned_ids(first, last, source):
                found.update(ids)
        return progressions(one for one in sorted(found) if self.worker_of(one) in workers)

    def planned_ids(self, first: int, last: int, worker: int) -> Sequence[range]:
        """The same by the layout alone, as if no user had moved."""
        if self._table:
            period, origin = len(self._table), self.layout.origin
            found = (
                range(first + (origin + seat - first) % period, last + 1, period)
                for seat in self._seats.get(worker, ())
            )
            return [ids for ids in found if ids]
        return [ids for ids in self._block_ids(first, last, worker) if ids]

    def _in_blocks(self, user_id: int) -> int:
        _, seats, block, origin, _ = self.layout
        number, within = divmod(user_id - origin, block)
        mine = self.numbers(seats[number % len(seats)])
        return mine[within % len(mine)]

    def _block_ids(self, first: int, last: int, worker: int) -> Iterable[range]:
        _, seats, block, origin, _ = self.layout
        for number in range((first - origin) // block, (last - origin) // block + 1):
            mine = self.numbers(seats[number % len(seats)])
            if worker in mine:
                begin = origin + number * block
                ids = range(begin + worker - mine.start, begin + block, len(mine))
                skipped = max(0, -(-(first - ids.start) // ids.step))
                yield range(ids.start + skipped * ids.step, min(last + 1, ids.stop), ids.step)


def turns_of(layout: Layout, firsts: Sequence[int]) -> list[int]:
    """The worker of each id from `origin` on, until they begin anew.

    Args:
        layout: One whose blocks are single ids.
        firsts: The number of each node's first worker.
    """
    seats, workers = layout.seats, layout.workers
    turns = [list(seats).count(node) for node in range(len(workers))]
    periods = lcm(*(of // gcd(of, turn) for of, turn in zip(workers, turns, strict=True) if turn))
    given = [0] * len(workers)
    table = []
    for _ in range(min(periods, max(1, MAX_TABLE // len(seats)))):
        for node in seats:
            table.append(firsts[node] + given[node] % workers[node])
            given[node] += 1
    return table


def in_parts(
    free: Sequence[tuple[int, int]],
    planned: range,
    nodes: Sequence[Sequence[int]],
    turns: Sequence[int],
) -> list[Move]:
    """Users that were not dealt, as many in a row for each node, as in `blocks`.

    Args:
        free: Their ids in ascending order: the first and the last of those in a row.
        planned: Which of them are divided so. The others, which are added by hand, have no number
            that is known before: they go by turns.
        nodes: The workers of each node.
        turns: Those of all of them, by turns.
    """
    rows = [within(planned, first, last) for first, last in free]
    each = max(1, -(-sum(map(len, rows)) // len(nodes)))
    moves, given = [], 0
    for row in rows:
        begun = given
        while given < begun + len(row):
            part = row[given - begun :][: each - given % each]
            moves.append(Move(part[0], part[-1], [], list(nodes[given // each])))
            given += len(part)
    moves += [
        Move(max(first, planned.stop), last, [], list(turns))
        for first, last in free
        if last >= planned.stop
    ]
    return moves


def progressions(ids: Iterable[int]) -> list[range]:
    """Ascending `ids` as progressions, as few as are found in passing."""
    found: list[range] = []
    for one in ids:
        last = found[-1] if found else None
        if last is not None and len(last) == 1:
            found[-1] = range(last.start, one + 1, one - last.start)
        elif last is not None and one == last[-1] + last.step:
            found[-1] = range(last.start, one + 1, last.step)
        else:
            found.append(range(one, one + 1))
    return found


def within(ids: range, first: int, last: int) -> range:
    """Those of `ids` from `first` to `last`."""
    if first > ids.start:
        ids = ids[-(-(first - ids.start) // ids.step) :]
    return ids[: max(0, (last - ids.start) // ids.step + 1)]


def span(ids: range) -> str:
    """Consecutive ids as people are told of them."""
    return f"users {ids[0]} to {ids[-1]}" if len(ids) > 1 else f"user {ids[0]}"
