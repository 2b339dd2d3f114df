"""Placement of users: the id alone determines the worker, and thereby the node. Pure.

Any process that knows the layout can locate a user without asking. Ids go to the nodes round robin
(`round_robin`), in blocks (`blocks`) or in proportion to their cores (`weighted`), and within a
node round robin to its workers. Workers are numbered across the whole run, node by node.

When a node is lost, its users move to the remaining workers. Users added on chosen nodes move there
before they start. When a node joins, the users not yet assigned are spread over all nodes then
present. All others stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import gcd, lcm

from amoc.ipc.messages.placement import Layout, Move

RULES = ("round-robin", "blocks", "weighted")
MAX_TABLE = 1 << 15
"""Maximum period of the table of workers, even if some workers then get fewer ids."""
_GOLDEN = 0x9E3779B97F4A7C15


def one_node(workers: int) -> Layout:
    """Return the layout of a run on one node."""
    return Layout([workers], [0])


def round_robin(workers: Sequence[int], nodes: Sequence[int] = ()) -> Layout:
    """User 1 goes to the first node, user 2 to the second, and so on; among `nodes` if given."""
    return Layout(workers, list(nodes or range(len(workers))))


def blocks(workers: Sequence[int], ids: range, nodes: Sequence[int] = ()) -> Layout:
    """Each node gets an equal share of the planned `ids`, in a row."""
    seats = list(nodes or range(len(workers)))
    return Layout(workers, seats, max(1, -(-len(ids) // len(seats))), ids.start)


def weighted(workers: Sequence[int], weights: Sequence[int]) -> Layout:
    """Each node gets ids in proportion to its weight, interleaved as evenly as possible."""
    common = gcd(*weights)
    turns = [
        ((turn + 0.5) * common / weight, node)
        for node, weight in enumerate(weights)
        for turn in range(weight // common)
    ]
    return Layout(workers, [node for _, node in sorted(turns)])


def by_worker(workers: Sequence[int]) -> Layout:
    """All workers get equally many ids, each an arithmetic progression."""
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
    """Return the layout by one of `RULES`.

    Args:
        rule: The rule's name.
        workers: The number of workers of each node.
        cores: The number of cores of each node.
        ids: The planned ids.
        by_slots: Set in an open model, where a user starts on the worker that gets its slot.
        nodes: The numbers of the only nodes that get users; empty means all.
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
    """The worker of each user.

    Attributes:
        workers: The number of workers in the run, including lost ones and those of nodes that may
            still join.
        moves: All moves so far, in order.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.workers = sum(layout.workers)
        self._first = [0, *accumulate(layout.workers)]
        self.moves: list[Move] = []
        self._lost: list[frozenset[int]] = []  # workers, by move
        self._table = turns_of(layout, self._first) if layout.block == 1 else []
        self._seats: dict[int, list[int]] = {}
        for seat, worker in enumerate(self._table):
            self._seats.setdefault(worker, []).append(seat)

    def numbers(self, node: int) -> range:
        """Return the numbers of a node's workers."""
        return range(self._first[node], self._first[node + 1])

    def move(self, move: Move) -> None:
        """Apply a move of users to other workers."""
        self.moves.append(Move(*move))
        self._lost.append(frozenset(move.lost))

    def share(self, count: int, worker: int) -> int:
        """Return the share of `worker` in `count` users spread evenly over the present workers."""
        found = set(range(self._first[self.layout.begun or -1]))
        for move in self.moves:
            found = found.difference(move.lost) if move.lost else found.union(move.to)
        there = sorted(found)
        return len(range(there.index(worker), count, len(there))) if worker in found else 0

    def worker_of(self, user_id: int) -> int:
        """Return the worker of a user."""
        if self._table:
            worker = self._table[(user_id - self.layout.origin) % len(self._table)]
        else:
            worker = self._in_blocks(user_id)
        for (first, last, _, to), lost in zip(self.moves, self._lost, strict=True):
            if not first <= user_id <= last:
                continue
            if not lost:
                worker = to[(user_id - first) % len(to)]
            elif worker in lost:
                # Hashed: a worker's ids have a fixed step, which might divide the number of targets
                # and send all of them to the same few.
                worker = to[(user_id * _GOLDEN >> 32 & 0xFFFFFFFF) * len(to) >> 32]
        return worker

    def ids_of(self, first: int, last: int, *workers: int) -> Sequence[range]:
        """Return which ids from `first` to `last` are on `workers`, as ascending progressions.

        After moves of users, this takes no longer for several workers than for one.
        """
        mine = frozenset(workers)
        for move in reversed(self.moves):
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
        for move in reversed(self.moves):
            if sources.intersection(move.to):
                sources.update(move.lost)
                if not move.lost:
                    found.update(range(max(first, move.first), min(last, move.last) + 1))
        for source in sources:
            for ids in self.planned_ids(first, last, source):
                found.update(ids)
        return progressions(one for one in sorted(found) if self.worker_of(one) in workers)

    def planned_ids(self, first: int, last: int, worker: int) -> Sequence[range]:
        """Return the same by the layout alone, ignoring moves."""
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
    """Return the workers of the ids from `origin` on, for one period.

    Args:
        layout: A layout with blocks of a single id.
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
    """Return moves of unassigned users that give each node an equal share in a row, as in `blocks`.

    Args:
        free: Their ids as ascending (first, last) ranges.
        planned: The ids to divide in this way. The rest, for users added by hand, whose number is
            unknown, go to the workers round robin.
        nodes: The workers of each node.
        turns: The workers of all nodes, in round-robin order.
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
    """Group ascending `ids` greedily into arithmetic progressions, in a single pass."""
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
    """Return the part of `ids` from `first` to `last`."""
    if first > ids.start:
        ids = ids[-(-(first - ids.start) // ids.step) :]
    return ids[: max(0, (last - ids.start) // ids.step + 1)]


def span(ids: range) -> str:
    """Return consecutive ids as text for people."""
    return f"users {ids[0]} to {ids[-1]}" if len(ids) > 1 else f"user {ids[0]}"
