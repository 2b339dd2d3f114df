"""The crowd: the users of one worker, from their start to their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
from gevent import get_hub
from gevent.event import Event

from amoc import metrics, own_settings
from amoc.board import Board, Cell, UserState
from amoc.engine.causes import Causes, trace_of
from amoc.messages import CrashSeen, Record, Started, StartUsers, UsersGone
from amoc.timing import S_NS, now_ns
from amoc.user import Leave, User

STARTS_PER_TURN = 100
"""Users started before the loop turns, when the rate is not limited."""
FINALLY_S = 2.0
"""How long a killed user may take for its `finally` blocks before it counts as stuck."""
MOST_NAMED = 100
"""Stuck users named in a report."""


@dataclass(frozen=True)
class Orders:
    """What a crowd is made with."""

    slot: int
    seed: int
    start: Callable[[int], object]
    scenario_directory: str
    report: Callable[[Record], None]
    """May be called from anywhere, and never waits."""


class Crowd:
    """Starts users at their times, knows those that are alive, and lets them leave."""

    def __init__(self, orders: Orders, board: Board) -> None:
        self.seed = orders.seed
        self.states = board.users
        self.repeat_num: float = own_settings.repeat_num.get()
        self.repeat_interval_s: float = own_settings.repeat_interval.get() / 1000
        self.run_once = orders.start
        self._slot = orders.slot
        self._report = orders.report
        self._row = board.row(orders.slot)
        self._row[Cell.USERS] = self._row[Cell.WAITING] = 0
        self._causes = Causes(board.area(orders.slot), orders.scenario_directory)
        self._lateness = metrics.timer("user_start_lateness")
        self._users: dict[int, User] = {}
        self._blocks: deque[StartUsers] = deque()
        self._wanted = Event()
        self._empty = Event()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._users)

    def __repr__(self) -> str:
        waiting = self._row[Cell.WAITING]
        return f"<crowd of slot {self._slot}: {len(self._users)} users, {waiting} to start>"

    def deal(self, block: StartUsers) -> None:
        """Take users to start at their times; once the crowd is stopping they are turned away."""
        if self._stopping:
            self._turn_all_away(block.ids)
            return
        self._blocks.append(block)
        self._row[Cell.WAITING] += len(block.ids)
        self._wanted.set()

    def start_users(self) -> None:
        """Start what was dealt, each user at its time; runs until the worker ends."""
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._blocks:
                block = self._blocks.popleft()
                count = (
                    self._start_at_times(block) if block.offsets_ns else self._start_at_once(block)
                )
                self._report(Started(self._slot, count))

    def _start_at_once(self, block: StartUsers) -> int:
        for done in range(0, len(block.ids), STARTS_PER_TURN):
            if self._stopping:
                self._drop(block.ids[done:])
                return done
            for user_id in block.ids[done : done + STARTS_PER_TURN]:
                self._start(user_id, block.again)
            gevent.sleep(0)
        return len(block.ids)

    def _start_at_times(self, block: StartUsers) -> int:
        turn = 0
        for done, (user_id, offset_ns) in enumerate(zip(block.ids, block.offsets_ns, strict=True)):
            late_ns = now_ns() - block.due_ns - offset_ns
            turn += 1
            if late_ns < 0 or turn == STARTS_PER_TURN:
                gevent.sleep(max(0, -late_ns) / S_NS)
                turn = 0
                late_ns = now_ns() - block.due_ns - offset_ns
            if self._stopping:
                self._drop(block.ids[done:])
                return done
            self._start(user_id, block.again)
            self._lateness.record_ns(late_ns)
        return len(block.ids)

    def _start(self, user_id: int, again: bool) -> None:
        row = self._row
        row[Cell.WAITING] -= 1
        dealt = UserState.RESTARTING if again else UserState.STARTING
        if user_id in self._users or self.states[user_id] != dealt:
            return  # dealt twice, before and after a worker was lost
        user = self._users[user_id] = User(user_id, self)
        alive = len(self._users)
        row[Cell.USERS] = alive
        if alive > row[Cell.USERS_PEAK]:
            row[Cell.USERS_PEAK] = alive
        if again:
            row[Cell.RESTARTED] += 1
        get_hub().loop.run_callback(user.switch)

    def _drop(self, ids: Sequence[int]) -> None:
        """Users that were taken will not be started."""
        self._row[Cell.WAITING] -= len(ids)
        self._turn_all_away(ids)

    def _turn_all_away(self, ids: Sequence[int]) -> None:
        for user_id in ids:
            self.turn_away(user_id)

    def turn_away(self, user_id: int) -> None:
        """A user is not started, or has left before its first iteration."""
        if self.states[user_id] == UserState.STARTING:
            self.states[user_id] = UserState.NONE
        elif self.states[user_id] == UserState.RESTARTING:
            self.states[user_id] = UserState.REMOVED

    def crashed(self, user: User, error: BaseException) -> None:
        """Count what start() raised, and report its traceback the first time."""
        cause = self._causes.count(error)
        if cause is not None:
            self._report(CrashSeen(self._slot, cause, trace_of(error), user.id))

    def left(self, user: User) -> None:
        """Forget a user that is gone for good."""
        self._users.pop(user.id, None)
        self._row[Cell.USERS] = len(self._users)
        if not self._users:
            self._empty.set()

    def stop(self, timeout_s: float) -> UsersGone:
        """Ask all users to finish; kill those that have not after `timeout_s`.

        Returns:
            How many left only when killed, and who did not even leave then.
        """
        self._stopping = True
        for block in self._blocks:
            self._drop(block.ids)
        self._blocks.clear()
        for user in list(self._users.values()):
            user.ask_to_leave(Leave.RUN_ENDS)
        if self._wait_empty(timeout_s):
            return UsersGone(self._slot, 0, [])
        alive = len(self._users)
        for user in list(self._users.values()):
            user.kill()
        self._wait_empty(FINALLY_S)
        stuck = sorted(self._users)
        return UsersGone(self._slot, alive - len(stuck), stuck[:MOST_NAMED])

    def _wait_empty(self, timeout_s: float) -> bool:
        self._empty.clear()
        return not self._users or bool(self._empty.wait(timeout_s))
