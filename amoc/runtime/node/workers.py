"""What a node knows of its workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from amoc.base.clock import S_NS
from amoc.ipc.messages.users import UsersGone
from amoc.metrics.board import RESTARTABLE, Board, Cell, UserState
from amoc.users import placement

MAX_STILLBORN = 3
"""Incarnations of one worker that may die before they take users; then the run is given up."""
SHORT_LIFE_NS = 2 * S_NS
MAX_SHORT_LIVES = 10
"""Incarnations of one worker that may die within `SHORT_LIFE_NS` in a row; then the run is given
up."""


@dataclass
class WorkerState:
    """What a node knows of a worker, over all its incarnations.

    Attributes:
        index: Its index on its host, from 0.
        incarnation: Which life of it that is, from 1; 0 before the first.
        pid: Its process; 0 while there is none.
        up: Whether it has joined.
    """

    index: int
    incarnation: int = 0
    pid: int = 0
    up: bool = False
    silent: bool = False
    beat_ns: int = 0
    """Its heartbeat when it was last looked at."""
    looks: int = 0
    """How often in a row that was the same."""
    mail_dropped: int = 0
    """Envelopes of mail that it has not taken in time, since that was last reported."""
    cpu_ns: int = 0
    """What it had used when it was found to hang."""
    gone: UsersGone | None = None
    """What it said when its users had left, or what is said in its place."""
    _stillborn: int = 0
    _short_lives: int = 0

    @property
    def child(self) -> str:
        """What the bus calls it."""
        return f"w{self.index}.{self.incarnation}"

    def count_loss(self, was_up: bool, age_ns: int) -> str:
        """Count a death; why another replacement would die too, empty while it may not.

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
    """All workers of a node, by index, and which users were dealt to them."""

    def __init__(self, board: Board) -> None:
        self._dealt = range(0)
        self._board = board
        self._workers = [WorkerState(index) for index in range(board.workers)]

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[WorkerState]:
        return iter(self._workers)

    def __getitem__(self, index: int) -> WorkerState:
        return self._workers[index]

    def dealt(self, ids: Iterable[int]) -> None:
        """Users are dealt to the node."""
        lowest, highest = min(ids), max(ids)
        if self._dealt:
            lowest, highest = min(lowest, self._dealt.start), max(highest, self._dealt.stop - 1)
        self._dealt = range(lowest, highest + 1)

    @property
    def ids(self) -> range:
        """From the lowest to the highest user that was dealt here, or that a worker has started."""
        dealt = self._dealt
        highest = max(self._board.row(one.index)[Cell.HIGHEST_USER] for one in self)
        if not highest:
            return dealt
        return range(1, max(highest + 1, dealt.stop))

    def ids_of(self, worker: WorkerState) -> range:
        """The users of `worker`, as far as any were dealt."""
        first, last = self.ids.start, self.ids.stop - 1
        return placement.ids_of(first, last, 0, 1, worker.index, len(self))

    def mark(self, ids: Iterable[int], state: UserState) -> None:
        """Note the state of users whose worker cannot, for it is dead or does not have them yet."""
        for user_id in ids:
            self._board.users[user_id] = state

    def lose(self, worker: WorkerState, states: tuple[UserState, ...] = RESTARTABLE) -> None:
        """The users of `worker` in one of `states` are lost: they will not start again.

        Their worker is dead, or has said that it has no users any more.
        """
        ids = self.ids_of(worker)
        self.mark(self._board.users_in(states, ids), UserState.LOST)
        self.mark(self._board.users_in((UserState.STARTING,), ids), UserState.NONE)

    @property
    def lost(self) -> int:
        """How many users are lost."""
        return len(self._board.users_in((UserState.LOST,), self.ids))
