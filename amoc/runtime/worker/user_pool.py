"""The pool of one worker's users, from their start to their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest

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
from amoc.ipc.messages.lifecycle import Note
from amoc.ipc.messages.links import FromWorker
from amoc.ipc.messages.users import Started, StartUsers, UsersGone
from amoc.metrics import optional
from amoc.metrics.board import Cell, UserState
from amoc.metrics.health_figures import cell
from amoc.metrics.reserved import OUTLIVED
from amoc.runtime.worker.crashes import CrashCounter
from amoc.runtime.worker_spec import WorkerSpec
from amoc.scenario import builtin_settings
from amoc.scenario.events import USER_ADDED, USER_REMOVED
from amoc.scenario.start_rate import USER_RATE
from amoc.throttle.token_waiter import OnToken, Token
from amoc.throttle.worker import Gate
from amoc.users.removal import FINALLY_S, Removal
from amoc.users.spawned import end_spawned
from amoc.users.user import HOW_GONE, StopReason, User

STARTS_PER_TURN = 100
"""Most users started in one turn of the event loop, if the rate is unlimited."""
REPORT_S = 0.02
REPORT_AT = 1_000
"""Starts are reported after this time, or when there are this many."""
MAX_NAMED = 100
"""Most stuck users named in a report."""
_USERS, _WAITING = cell("users"), cell("waiting")
_RESTARTED, _PEAK = int(Cell.RESTARTED), int(Cell.USERS_PEAK)
_STARTING, _RESTARTING = int(UserState.STARTING), int(UserState.RESTARTING)
_TO_COME = (UserState.NONE, UserState.STARTING, UserState.RESTARTING)


@dataclass
class _Removal:
    """Users that were killed, and the caller that waits for their end."""

    ids: set[int]
    done: Waiter[None]


class UserPool:
    """Starts users at their times, tracks those that are alive, and stops them.

    Attributes:
        wait_turn: Called by a user between iterations; returns whether it must leave. None to pace
            iterations by the settings.
        highest_id: The highest id of users that it has created without being dealt them.
        crashes: Counts exceptions of users, and reports the first of each cause.
    """

    wait_turn: Callable[[User], bool] | None = None
    highest_id = 0  # of users created without being dealt

    def __init__(self, spec: WorkerSpec, report: Callable[[FromWorker], None], gate: Gate) -> None:
        """Create it without users.

        Args:
            spec: The worker.
            report: Sends a report; can be called from anywhere, and does not block.
            gate: The worker's side of all throttles.
        """
        self.seed = spec.seed
        self.states = spec.board.users
        self._board = spec.board
        self.run_once = spec.start
        self._worker = spec.id.worker
        self._report = report
        self._gate = gate
        self._start_queue = gate.queue(USER_RATE)
        self._placement = spec.placement
        self._row = self._board.row(self._worker)
        self._row[_USERS] = self._row[_WAITING] = 0
        area = self._board.area(self._worker)
        self.crashes = CrashCounter(area, spec.scenario_directory, spec.start, self._worker, report)
        self._has_warned = False
        self._lateness = metrics.built_in(metrics.Timer, "user_start_lateness")
        self._users: dict[int, User] = {}
        self._queued: dict[int, bool] = {}  # dealt and not started; whether it is a restart
        self._blocks: deque[StartUsers] = deque()
        self._ready: dict[int, OnToken] = {}  # waiting for the start rate's throttle
        self._unwanted: set[int] = set()  # must not start when dealt
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
        """Adjust to users that were moved to other workers."""

    def refresh(self) -> None:
        """Read the present values of the settings."""
        self.repeat_num: float = builtin_settings.repeat_num.get()
        self.repeat_interval_s: float = builtin_settings.repeat_interval.get() / 1000
        self.crash_pause_s: float = builtin_settings.crash_pause.get()

    def find(self, user_id: int) -> User | None:
        """Return the user with that id, if it is alive here."""
        return self._users.get(user_id)

    @property
    def queued(self) -> int:
        """Number of users that were dealt to this worker and have not started."""
        return len(self._queued)

    def deal(self, block: StartUsers) -> None:
        """Take users to start; a pool that is stopping turns them away."""
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
        """Start dealt users, each at its time; runs until the worker ends."""
        while True:
            self._wanted.wait()
            while self._blocks:
                self._queue_block(self._blocks.popleft())

    def _queue_block(self, block: StartUsers) -> None:
        """Queue users at the start rate's throttle, or start them if it is open."""
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
                    self._begun.wait()  # they may run for long before they wait for something
                    yield_to_loop()
            at = end

    def _wait_due(self, block: StartUsers, at: int, paused_before_ns: int) -> int:
        """Wait until the user at `at` may start; return the end of the range that may by then."""
        end = min(at + STARTS_PER_TURN, len(block.ids))
        if not block.offsets_ns:
            return end
        wait_ns = block.due_ns + block.offsets_ns[at] - now_ns()
        if wait_ns > 0:
            gevent.sleep(wait_ns / S_NS)
        late_ns = now_ns() - block.due_ns
        # Times from before a pause are meaningless.
        is_meant = pause.clock.paused_ns() == paused_before_ns
        for number in range(at, end):
            if number > at and block.offsets_ns[number] > late_ns:
                return number
            if is_meant and block.ids[number] in self._queued:
                self._lateness.record_ns(late_ns - block.offsets_ns[number])
        return end

    def _enter_throttle(self, user_id: int) -> None:
        """Queue a user at the start rate's throttle, unless it was withdrawn."""
        if user_id not in self._queued:
            self._count_started(1)
            return
        waiter = self._ready[user_id] = OnToken(partial(self._start_ready, user_id))
        token = self._start_queue.enter(waiter)
        if token is not None:
            waiter.give(token)

    def _start_ready(self, user_id: int, token: Token) -> None:
        """Start a user that may pass the throttle, or turn it away if the throttle was stopped."""
        del self._ready[user_id]
        if isinstance(token, AmocError):
            self._turn_all_away([user_id])
            self._count_started(1)
        else:
            self._start([user_id])

    def _start(self, ids: Sequence[int], then: Iterable[Callable[[], None]] = ()) -> None:
        """Start users at the loop's next turn, except withdrawn ones, and call `then`."""
        row, users, begin = self._row, self._users, []
        for user_id in ids:
            again = self._queued.pop(user_id, None)
            dealt = _RESTARTING if again else _STARTING
            if again is None or user_id in users or self.states[user_id] != dealt:
                continue  # withdrawn, or dealt twice: before and after a worker was lost
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
        self._count_started(len(ids))
        call_in_batches([*begin, *then])

    def _count_started(self, count: int) -> None:
        if not self._started:
            gevent.spawn_later(REPORT_S, self._report_started)
        self._started += count
        if self._started >= REPORT_AT:
            self._report_started()

    def _report_started(self) -> None:
        started, self._started = self._started, 0
        if started:
            self._report(Started(self._worker, started))

    def _turn_all_away(self, ids: Iterable[int]) -> None:
        """Drop dealt users before they start, and remove them from the throttle's queue."""
        for user_id in ids:
            self._queued.pop(user_id, None)
            self.turn_away(user_id)
            waiter = self._ready.pop(user_id, None)
            if waiter is not None:
                self._start_queue.leave(waiter)
                self._count_started(1)
        self._row[_WAITING] = len(self._queued)

    def turn_away(self, user_id: int) -> None:
        """Set the state of a user that will not start, or has left before its first iteration."""
        if self.states[user_id] == UserState.STARTING:
            self.states[user_id] = UserState.NONE
        elif self.states[user_id] == UserState.RESTARTING:
            # Either a command has removed it, or the run ends before it could restart.
            self.states[user_id] = UserState.LOST if self._stopping else UserState.REMOVED

    def crashed(self, user: User, error: BaseException) -> None:
        """Count an exception of start(), and report its traceback if the cause is new."""
        self.crashes.report(error, user.id)

    def iteration_ended(self, user: User) -> None:
        """Take back permits and tokens that a user still has from throttles."""
        metrics.drop_token(user)
        if self._gate.holders:
            self._gate.iteration_ended(user)

    def left(self, user: User) -> None:
        """Remove a user that has left for good."""
        if USER_REMOVED.subscribers:
            how = HOW_GONE.get(self.states[user.id], "removed")
            USER_REMOVED(user.id, how=how, iterations=user.iteration)
        if user.spawned and (outlived := end_spawned(user, self._count_outlived)):
            self._count_outlived(user, outlived)
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
            # The end of the process frees all stacks at once, in a fraction of the time that it
            # takes for each. So these greenlets are kept until then.
            self._done.append(user)
            greenlet.switch(get_hub())

    def _count_outlived(self, user: User, greenlets: int) -> None:
        """Count `greenlets` that `user`, which has ended, has left running."""
        if not self._has_warned:
            self._has_warned = True
            text = (
                f"user {user.id} has ended, but greenlets it spawned are still running (other users"
                " may be affected too): start them with user.spawn(), and let them end when they"
                f" are killed (counted in {OUTLIVED})"
            )
            self._report(Note("warning", text))
        optional.counter(OUTLIVED).inc(greenlets)

    @property
    def removable(self) -> int:
        """Number of users, started or dealt, that have not been asked to leave."""
        return len(self._queued) + sum(not user.stop_reason for user in self._users.values())

    def remove(self, count: int, force: bool) -> Removal:
        """Remove the `count` users with the highest ids, started or not."""
        there = [user_id for user_id, user in self._users.items() if not user.stop_reason]
        return self.remove_ids(nlargest(count, [*there, *self._queued]), force)

    def remove_range(self, first: int, last: int, force: bool) -> Removal:
        """Remove the users with ids from `first` to `last`, started here or yet to start here."""
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
        """Remove the users `ids`; those not dealt yet will not start when they are."""
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
                continue  # it has left, or was removed before
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
        """Kill `users` and wait up to `FINALLY_S` for their end; return those that remain."""
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
            How many left only when killed, and which did not even then.
        """
        self._stopping = True
        pause.resume()  # users held by a pause could not leave
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
