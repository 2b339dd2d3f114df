"""The node's table of its workers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap

from amoc.base.clock import S_NS
from amoc.base.lazy_bytes import lazy_bytes
from amoc.ipc.messages.users import UsersGone
from amoc.metrics.board import RESTARTABLE, Board, Cell, UserState
from amoc.runtime.worker_spec import SHORT_LIFE_NS
from amoc.users import placement
from amoc.users.placement import Placement

MAX_STILLBORN = 3
"""Incarnations of one worker in a row that may die before they take users; then the run ends."""
MAX_SHORT_LIVES = 10
"""Incarnations of one worker in a row that may die within `SHORT_LIFE_NS`; then the run ends."""
_STAY = frozenset({UserState.STARTING, *RESTARTABLE})
_LEFT = bytes(int(state not in _STAY) for state in range(256))
"""By state: whether a dealt user has left, or will leave at the end of its iteration."""


@dataclass
class WorkerState:
    """The node's record of a worker, over all its incarnations.

    Attributes:
        index: Its number in the run, from 0.
        incarnation: Number of its current incarnation, from 1; 0 before the first.
        child: Its name on the bus.
        pid: Its process; 0 while there is none.
        up: Whether it has joined.
    """

    index: int
    incarnation: int = 0
    child: str = ""
    pid: int = 0
    up: bool = False
    silent: bool = False
    beat_ns: int = 0
    """Its heartbeat at the last check."""
    checks: int = 0
    """Number of checks in a row without a new heartbeat."""
    mail_dropped: int = 0
    """Envelopes of mail that it did not take in time, since the last report of that."""
    cpu_ns: int = 0
    """Its CPU time when it was found to hang."""
    gone: UsersGone | None = None
    """Its report that its users have left, or one made on its behalf."""
    _stillborn: int = 0
    _short_lives: int = 0

    def count_loss(self, was_up: bool, age_ns: int) -> str:
        """Count a death; return why a replacement would die too, empty if it need not.

        Args:
            was_up: Whether it had joined.
            age_ns: How long it lived.
        """
        self._stillborn = 0 if was_up else self._stillborn + 1
        self._short_lives = self._short_lives + 1 if age_ns < SHORT_LIFE_NS else 0
        if self._short_lives >= MAX_SHORT_LIVES:
            within = f"within {SHORT_LIFE_NS // S_NS} s of its start"
            return f"{within}, {self._short_lives} times in a row"
        if self._stillborn >= MAX_STILLBORN:
            return f"before it took any user, {self._stillborn} times in a row"
        return ""


class WorkerTable:
    """All workers of a node, by number, and which users were dealt to them.

    Attributes:
        placement: The worker of each user.
        by_number: The workers, by their numbers in the run.
    """

    def __init__(self, board: Board) -> None:
        self._dealt = range(0)
        # By id, if there are other nodes: whether it was dealt here and is not known to have left.
        self._present: mmap | None = None
        self._board = board
        self._workers = [WorkerState(index) for index in range(board.workers)]
        self.by_number = dict(enumerate(self._workers))
        self.placement = Placement(placement.one_node(board.workers))

    def take_numbers(self, placement: Placement, node: int) -> None:
        """Set the numbers of this node's workers, given the node's own number."""
        self.placement = placement
        self._board.first = placement.numbers(node).start
        if len(placement.layout.workers) > 1:
            self._present = lazy_bytes(self._board.highest_id + 1)
        for number, worker in zip(self._board.numbers, self._workers, strict=True):
            worker.index = number
        self.by_number = {worker.index: worker for worker in self._workers}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[WorkerState]:
        return iter(self._workers)

    def dealt(self, ids: Collection[int]) -> None:
        """Record that users are dealt to the node."""
        lowest, highest = min(ids), max(ids)
        if self._dealt:
            lowest, highest = min(lowest, self._dealt.start), max(highest, self._dealt.stop - 1)
        self._dealt = range(lowest, highest + 1)
        if self._present is not None:
            for user_id in ids:
                self._present[user_id] = 1

    def take_gone(self) -> list[tuple[int, int]]:
        """Return users that were dealt here and have left for good since the last call.

        Returns:
            The first id and the length of each run of consecutive ids; empty if this is the only
            node.
        """
        ids, present = self._dealt, self._present
        if present is None or not ids:
            return []
        left = bytes(self._board.users[ids.start : ids.stop]).translate(_LEFT)
        both = int.from_bytes(left) & int.from_bytes(present[ids.start : ids.stop])
        found = []
        for run in re.finditer(b"\x01+", both.to_bytes(len(ids))):
            first, count = ids.start + run.start(), len(run[0])
            present[first : first + count] = bytes(count)
            found.append((first, count))
        return found

    @property
    def ids(self) -> range:
        """From the lowest to the highest id that was dealt here or started by a worker."""
        dealt = self._dealt
        highest = max(self._board.row(one.index)[Cell.HIGHEST_USER] for one in self)
        if not highest:
            return dealt
        return range(1, max(highest + 1, dealt.stop))

    def users_in(self, states: tuple[UserState, ...], worker: WorkerState) -> list[int]:
        """Return the dealt users of `worker` that are in one of `states`."""
        first, last = self.ids.start, self.ids.stop - 1
        return sorted(
            user_id
            for ids in self.placement.ids_of(first, last, worker.index)
            for user_id in self._board.users_in(states, ids)
        )

    def mark(self, ids: Iterable[int], state: UserState) -> None:
        """Set the state of users whose worker cannot do so: it is dead, or yet to get them."""
        for user_id in ids:
            self._board.users[user_id] = state

    def lose(self, worker: WorkerState, states: tuple[UserState, ...] = RESTARTABLE) -> None:
        """Mark the users of `worker` in one of `states` as lost: they will not start again.

        The worker is dead, or has reported that it has no users any more.
        """
        self.mark(self.users_in(states, worker), UserState.LOST)
        self.mark(self.users_in((UserState.STARTING,), worker), UserState.NONE)

    def give_up(self) -> None:
        """Mark all users as lost on this node; on other nodes they may start again."""
        self._present = None  # so that none is reported to have left
        for worker in self:
            self.lose(worker)

    @property
    def lost(self) -> int:
        """Number of lost users."""
        return len(self._board.users_in((UserState.LOST,), self.ids))
