"""The pool of one worker's users, from their start to their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from typing import NamedTuple

import gevent
from gevent import get_hub
from gevent.event import Event
from greenlet import greenlet

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError
from amoc.base.loop_yield import call_in_batches, yield_to_loop
from amoc.base.waiting import Notify, Waiter
from amoc.ipc.messages.links import FromWorker
from amoc.ipc.messages.users import Started, StartUsers, UsersGone
from amoc.metrics.board import Board, Cell, UserState
from amoc.metrics.health_figures import cell
from amoc.runtime.worker.crashes import CrashCounter, CrashReporter
from amoc.runtime.worker.outlived import Outlived
from amoc.scenario import builtin_settings
from amoc.scenario.events import USER_ADDED, USER_REMOVED
from amoc.scenario.start_rate import USER_RATE
from amoc.throttle.token_waiter import OnToken, Token
from amoc.throttle.worker import Gate
from amoc.users.placement import Placement
from amoc.users.removal import FINALLY_S, Removal
from amoc.users.spawned import end_spawned
from amoc.users.user import HOW_GONE, StopReason, User

STARTS_PER_TURN = 100
"""Users started before the loop turns, when the rate is not limited."""
TELL_S = 0.02
TELL_AT = 1_000
"""How long, and how many, starts gather before they are reported."""
MAX_NAMED = 100
"""Stuck users named in a report."""
_USERS, _WAITING = cell("users"), cell("waiting")
_RESTARTED, _PEAK = int(Cell.RESTARTED), int(Cell.USERS_PEAK)
_STARTING, _RESTARTING = int(UserState.STARTING), int(UserState.RESTARTING)
_TO_COME = (UserState.NONE, UserState.STARTING, UserState.RESTARTING)


class Orders(NamedTuple):
    """What a pool is made with."""

    worker: int
    seed: int
    start: Callable[[int], object]
    scenario_directory: str
    report: Callable[[FromWorker], None]
    """May be called from anywhere, and never waits."""
    gate: Gate
    placement: Placement


@dataclass
class _Removal:
    """Users that were killed, and what waits for their end."""

    ids: set[int]
    done: Waiter[None]


class UserPool:
    """Starts users at their times, knows those that are alive, and lets them leave.

    Attributes:
        crashes: Takes what they raise.
    """

    wait_turn: Callable[[User], bool] | None = None
    highest_id = 0  # of the users that it has started by itself

    def __init__(self, orders: Orders, board: Board) -> None:
        self.seed = orders.seed
        self.states = board.users
        self._board = board
        self.run_once = orders.start
        self._worker = orders.worker
        self._report = orders.report
        self._gate = orders.gate
        self._start_queue = orders.gate.queue(USER_RATE)
        self._placement = orders.placement
        self._row = board.row(orders.worker)
        self._row[_USERS] = self._row[_WAITING] = 0
        directory = orders.scenario_directory
        causes = CrashCounter(board.area(orders.worker), directory, orders.start)
        self.crashes = CrashReporter(causes, orders.worker, directory, orders.report)
        self._outlived = Outlived(orders.report)
        self._lateness = metrics.built_in(metrics.Timer, "user_start_lateness")
        self._users: dict[int, User] = {}
        self._queued: dict[int, bool] = {}  # dealt and not started, and whether they start again
        self._blocks: deque[StartUsers] = deque()
        self._ready: dict[int, OnToken] = {}  # those that wait for the start rate's throttle
        self._unwanted: set[int] = set()  # those that are not to start when they are dealt
        self._started = 0
        self._wanted, self._begun = Notify(), Notify()
        self._empty = Event()
        self._removals: list[_Removal] = []
        self._stopping = False
        self._done: list[User] = []
        self.refresh()

    def __len__(self) -> int:
        return len(self._users)

    def __repr__(self) -> str:
        waiting = len(self._queued)
        return f"<users of worker {self._worker}: {len(self._users)} users, {waiting} to start>"

    def moved(self) -> None:
        """Some users are on other workers from now on."""

    def refresh(self) -> None:
        """Take over the settings as they are now."""
        self.repeat_num: float = builtin_settings.repeat_num.get()
        self.repeat_interval_s: float = builtin_settings.repeat_interval.get() / 1000
        self.crash_pause_s: float = builtin_settings.crash_pause.get()

    def find(self, user_id: int) -> User | None:
        """The user with that number, if it is alive here."""
        return self._users.get(user_id)

    @property
    def queued(self) -> int:
        """Users that were dealt to this worker and have not started."""
        return len(self._queued)

    def deal(self, block: StartUsers) -> None:
        """Take users to start; once the pool is stopping they are turned away."""
        if self._stopping:
            self._turn_all_away(block.ids)
            return
        for user_id in block.ids:
            self._queued[user_id] = block.again
        if self._unwanted:
            unwanted = self._unwanted.intersection(block.ids)
            self._unwanted -= unwanted
            self._turn_all_away(unwanted)
        self._row[_WAITING] = len(self._queued)
        self._blocks.append(block)
        self._wanted.ring()

    def start_users(self) -> None:
        """Let what was dealt start, each user at its time; runs until the worker ends."""
        while True:
            self._wanted.wait()
            while self._blocks:
                self._line_up(self._blocks.popleft())

    def _line_up(self, block: StartUsers) -> None:
        """Have users wait for the start rate's throttle, or start them where it is open."""
        ids, at, paused_before_ns = block.ids, 0, pause.clock.paused_ns()
        while at < len(ids):
            end = self._wait_due(block, at, paused_before_ns)
            pause.wait_resumed()
            if self._ready or not self._start_queue.is_open(now_ns()):
                for user_id in ids[at:end]:
                    self._enter_throttle(user_id)
            else:
                is_full = end - at == STARTS_PER_TURN
                self._start(ids[at:end], [self._begun.ring] if is_full else ())
                if is_full:
                    self._begun.wait()  # they may take long until they wait for something
                    yield_to_loop()
            at = end

    def _wait_due(self, block: StartUsers, at: int, paused_before_ns: int) -> int:
        """Wait until the user at `at` of a block may start; the end of those that may by then."""
        end = min(at + STARTS_PER_TURN, len(block.ids))
        if not block.offsets_ns:
            return end
        wait_ns = block.due_ns + block.offsets_ns[at] - now_ns()
        if wait_ns > 0:
            gevent.sleep(wait_ns / S_NS)
        late_ns = now_ns() - block.due_ns
        # Times of before a pause mean nothing.
        is_meant = pause.clock.paused_ns() == paused_before_ns
        for number in range(at, end):
            if number > at and block.offsets_ns[number] > late_ns:
                return number
            if is_meant and block.ids[number] in self._queued:
                self._lateness.record_ns(late_ns - block.offsets_ns[number])
        return end

    def _enter_throttle(self, user_id: int) -> None:
        """Have a user wait for the start rate's throttle, unless it was withdrawn."""
        if user_id not in self._queued:
            self._tell_started(1)
            return
        waiter = self._ready[user_id] = OnToken(partial(self._start_ready, user_id))
        token = self._start_queue.enter(waiter)
        if token is not None:
            waiter.give(token)

    def _start_ready(self, user_id: int, token: Token) -> None:
        """A user may pass the start rate's throttle, or that was stopped."""
        del self._ready[user_id]
        if isinstance(token, AmocError):
            self._turn_all_away([user_id])
            self._tell_started(1)
        else:
            self._start([user_id])

    def _start(self, ids: Sequence[int], then: Iterable[Callable[[], None]] = ()) -> None:
        """Start users at the loop's next turn, but those that were withdrawn, and call `then`."""
        row, users, begin = self._row, self._users, []
        for user_id in ids:
            again = self._queued.pop(user_id, None)
            dealt = _RESTARTING if again else _STARTING
            if again is None or user_id in users or self.states[user_id] != dealt:
                continue  # withdrawn, or dealt twice, before and after a worker was lost
            user = users[user_id] = User(user_id, self)
            if again:
                row[_RESTARTED] += 1
            if USER_ADDED.subscribers:
                USER_ADDED(user_id, again=again)
            begin.append(user.switch)
        row[_WAITING] = len(self._queued)
        row[_USERS] = alive = len(users)
        if alive > row[_PEAK]:
            row[_PEAK] = alive
        self._tell_started(len(ids))
        call_in_batches([*begin, *then])

    def _tell_started(self, count: int) -> None:
        if not self._started:
            gevent.spawn_later(TELL_S, self._report_started)
        self._started += count
        if self._started >= TELL_AT:
            self._report_started()

    def _report_started(self) -> None:
        started, self._started = self._started, 0
        if started:
            self._report(Started(self._worker, started))

    def _turn_all_away(self, ids: Iterable[int]) -> None:
        """Users that were dealt will not start; they wait for the start rate no longer."""
        for user_id in ids:
            self._queued.pop(user_id, None)
            self.turn_away(user_id)
            waiter = self._ready.pop(user_id, None)
            if waiter is not None:
                self._start_queue.leave(waiter)
                self._tell_started(1)
        self._row[_WAITING] = len(self._queued)

    def turn_away(self, user_id: int) -> None:
        """A user is not started, or has left before its first iteration."""
        if self.states[user_id] == UserState.STARTING:
            self.states[user_id] = UserState.NONE
        elif self.states[user_id] == UserState.RESTARTING:
            # Unless a command has removed it, the run ends before it could come back.
            self.states[user_id] = UserState.LOST if self._stopping else UserState.REMOVED

    def crashed(self, user: User, error: BaseException) -> None:
        """Count what start() raised, and report its traceback the first time."""
        self.crashes.count(error, user.id)

    def iteration_ended(self, user: User) -> None:
        """Take back what throttles have given to a user and it has not used up."""
        metrics.drop_token(user)
        if self._gate.holders:
            self._gate.iteration_ended(user)

    def left(self, user: User) -> None:
        """Forget a user that is gone for good."""
        if USER_REMOVED.subscribers:
            how = HOW_GONE.get(self.states[user.id], "removed")
            USER_REMOVED(user.id, how=how, iterations=user.iteration)
        if user.spawned and (outlived := end_spawned(user, self._outlived.count)):
            self._outlived.count(user, outlived)
        self._users.pop(user.id, None)
        self._row[_USERS] = len(self._users)
        for removal in self._removals:
            removal.ids.discard(user.id)
            if not removal.ids:
                removal.done.set(None)
                get_hub().loop.run_callback(removal.done.wake)
        if not self._users:
            self._empty.set()
        if self._stopping:
            # The end of the process takes back the stacks of all at once, in a fraction of the time
            # that it takes for each by itself; so none ends before.
            self._done.append(user)
            greenlet.switch(get_hub())

    @property
    def removable(self) -> int:
        """Users that are here, or will be, and were not asked to leave yet."""
        return len(self._queued) + sum(not user.stop_reason for user in self._users.values())

    def remove(self, count: int, force: bool) -> Removal:
        """Take out `count` users, those with the highest numbers, started or not."""
        there = [user_id for user_id, user in self._users.items() if not user.stop_reason]
        return self.remove_ids(nlargest(count, [*there, *self._queued]), force)

    def remove_range(self, first: int, last: int, force: bool) -> Removal:
        """Take out the users with ids from `first` to `last` that are here or are to start here."""
        mine = self._placement.ids_of(first, last, self._worker)
        there = [
            user_id
            for user_id, user in self._users.items()
            if first <= user_id <= last and not user.stop_reason
        ]
        to_come = [
            user_id
            for ids in mine
            for user_id in self._board.users_in((UserState.STARTING, UserState.RESTARTING), ids)
            if user_id not in self._users
        ]
        return self.remove_ids([*there, *to_come], force)

    def remove_ids(self, ids: Iterable[int], force: bool) -> Removal:
        """Take out the users `ids`; those that are still to be dealt are not started then."""
        queued, users, again, fresh = [], [], 0, 0
        for user_id in ids:
            if user_id in self._users:
                users.append(self._users[user_id])
                continue
            if user_id in self._queued:
                queued.append(user_id)
            elif self.states[user_id] in _TO_COME and user_id not in self._unwanted:
                self._unwanted.add(user_id)
            else:
                continue  # it has left by itself, or was removed before
            if self.states[user_id] == UserState.RESTARTING:
                again += 1
            else:
                fresh += 1
        self._turn_all_away(queued)
        for user in users:
            user.ask_to_stop(StopReason.REMOVED)
        stuck = self._kill(users) if force else []
        return Removal(
            asked=0 if force else len(users),
            killed=len(users) if force else 0,
            withdrawn=fresh,
            not_again=again,
            stuck=tuple(stuck[:MAX_NAMED]),
        )

    def _kill(self, users: Sequence[User]) -> list[int]:
        """Kill `users` and wait up to `FINALLY_S` for their end; those that are still there."""
        removal = _Removal({user.id for user in users}, Waiter())
        for user in users:
            user.kill()
        if users:
            self._removals.append(removal)
            try:
                removal.done.wait(FINALLY_S)
            finally:
                self._removals.remove(removal)
        return sorted(removal.ids)

    def stop(self, timeout_s: float) -> UsersGone:
        """Ask all users to finish; kill those that have not after `timeout_s`.

        Returns:
            How many left only when killed, and who did not even leave then.
        """
        self._stopping = True
        pause.resume()  # users that it holds could not leave
        self._blocks.clear()
        self._turn_all_away(list(self._queued))
        wakes: list[Callable[[], None]] = []
        for user in list(self._users.values()):
            user.ask_to_stop(StopReason.RUN_ENDS, wakes.append)
        call_in_batches(wakes)
        if self._wait_empty(timeout_s):
            return UsersGone(self._worker, 0, [])
        users = list(self._users.values())
        stuck = self._kill(users)
        return UsersGone(self._worker, len(users) - len(stuck), stuck[:MAX_NAMED])

    def _wait_empty(self, timeout_s: float) -> bool:
        self._empty.clear()
        return not self._users or bool(self._empty.wait(timeout_s))
