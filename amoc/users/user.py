"""A virtual user: a greenlet with an id that runs iterations of start() until it is done.

Users are raw greenlets below gevent's hub, since a run may need a hundred thousand of them at once.
They take a third less memory and start-up time than `gevent.Greenlet`, and gevent's primitives need
no more. The user's pool (`amoc.runtime.worker.user_pool`) handles its crashes and its end.

A user that is asked to stop, because the run ends or the user is removed, is notified once: either
`UserStopped` is raised where it waits (`amoc.base.waiting.wait`), or it reads `stopping`. After
that it may clean up undisturbed until it is killed.
"""

from __future__ import annotations

import random as _random
import traceback
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NoReturn, Protocol

from gevent import get_hub, getcurrent
from greenlet import GreenletExit, greenlet

from amoc import metrics
from amoc.base import guard, pause
from amoc.base.backoff import backoff
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ClosedError
from amoc.base.loop_guard import Killed
from amoc.base.tracebacks import headline_of
from amoc.base.waiting import Waiter, interrupt, wait
from amoc.metrics import reserved
from amoc.metrics.board import UserState
from amoc.scenario.events import ITERATION_START, ITERATION_STOP
from amoc.users.mailbox import Mailbox

MAX_CRASH_PAUSE_S = 10.0
"""Mean upper limit of the backoff after iterations that crashed."""
_iterations = metrics.built_in(metrics.Counter, reserved.ITERATIONS)


class StopReason(IntEnum):
    """Why a user was asked to stop."""

    NONE = 0
    OWN = 1
    """It called `user.stop`; counts as finished."""
    RUN_ENDS = 2
    """Counts as finished once start() has returned."""
    REMOVED = 3
    """Counts as removed."""


HOW_GONE: Mapping[int, str] = {
    UserState.NONE: "not begun",
    UserState.FINISHED: "finished",
    UserState.CRASHED: "crashed",
    UserState.REMOVED: "removed",
    UserState.TIMED_OUT: "timed out",
    UserState.LOST: "lost",
}
"""How a user ended, as reported to subscribers; any other state means it was removed."""
# As plain numbers: enum members are looked up on each access, several times per user.
_RUNNING, _BETWEEN = int(UserState.RUNNING), int(UserState.BETWEEN)
_GOES_ON, _BY_REMOVAL = StopReason.NONE, StopReason.REMOVED
_FINISHED, _CRASHED, _REMOVED = map(int, (UserState.FINISHED, UserState.CRASHED, UserState.REMOVED))


class UserStopped(guard.Ended, GreenletExit):
    """Raised in a waiting user that was asked to stop, to end its iteration.

    Not an `Exception`, so that it is not caught by accident. The user counts as finished.
    """

    def is_intended(self) -> bool:
        """Return whether the user was asked to stop."""
        return bool(getattr(getcurrent(), "stop_reason", False))

    def on_user_ended(self) -> None:
        """Called once the exception has ended a user for good."""


class _UntilStopped(Waiter[None]):
    """Wait for the request to stop itself, which therefore wakes it without an exception."""


_Soon = Callable[[Callable[[], None]], object]


class UserPool(Protocol):
    """The part of the user pool that a user depends on."""

    seed: int
    repeat_num: float
    repeat_interval_s: float
    crash_pause_s: float

    @property
    def states(self) -> memoryview[int] | dict[int, int]:
        """The `UserState` of each id."""

    @property
    def wait_turn(self) -> Callable[[User], bool] | None:
        """A function that waits until a user's next iteration is due; None in a closed model.

        It returns whether the user must leave instead.
        """

    def run_once(self, user_id: int) -> object:
        """Call the scenario's start()."""

    def crashed(self, user: User, error: BaseException) -> None:
        """Count and log an exception of start()."""

    def iteration_ended(self, user: User) -> None:
        """Reclaim what the user still holds, however start() ended."""

    def left(self, user: User) -> None:
        """Forget a user that has ended for good."""

    def turn_away(self, user_id: int) -> None:
        """Record that a user left before its first iteration."""


class User(greenlet):
    """One virtual user.

    Attributes:
        id: Number, unique across the whole run.
        iteration: The number of iterations of start() begun so far.
        turn_ns: Begin of the iteration, or of the current turn of a paced loop, in run time without
            pauses.
        stop_reason: Whether and why the user was asked to stop.
        mailbox: Created on first use; most users never need one.
        arrival: In an open model, which arrival this iteration is, by the worker's own numbers.
        waiting_for: The waiter it is blocked on (`amoc.base.waiting`).
        pending_interrupt: The exception to raise at its next wait (`amoc.base.waiting`).
        interrupt_key: The key for withdrawing that interrupt.
        spawned: Live greenlets spawned by this user (`amoc.users.spawned`).
        feed_cursors: Rows read so far from each feed that this user reads on its own (`amoc.feed`).
        run_iteration: The number across the whole run (`amoc.users.run`) of iteration `numbered`.
        numbered: The last of its own iterations that got such a number.
    """

    # Others default to class attributes: an instance dictionary takes 180 bytes.
    __slots__ = (
        *("id", "iteration", "pending_interrupt", "pool", "stop_reason", "turn_ns", "waiting_for"),
    )

    mailbox: Mailbox | None = None
    arrival = 0
    interrupt_key: object = None
    spawned: set[greenlet] | None = None
    run_iteration = numbered = 0
    feed_cursors: dict[str, int] | None = None
    _has_crashed = False
    _crashes_in_a_row = 0
    _recovering_since_ns = 0

    def __init__(self, user_id: int, pool: UserPool) -> None:
        greenlet.__init__(self, None, get_hub())
        self.id = user_id
        self.pool = pool
        self.iteration = self.turn_ns = 0
        self.stop_reason = _GOES_ON
        self.waiting_for: Waiter[object] | None = None
        self.pending_interrupt: BaseException | None = None

    @staticmethod
    def run() -> None:
        """Run start() as often as the settings say. Never raises, since that would end the hub."""
        # Static: a bound method, with 150 bytes more of C stack, would stay alive with each user.
        self = current()
        pool, user_id, states = self.pool, self.id, self.pool.states
        if self.stop_reason:
            pool.turn_away(user_id)
            pool.left(self)
            return
        outcome = _FINISHED
        try:
            # In an open model, wait for the next arrival; the user may have to leave instead.
            while (turn := pool.wait_turn) is None or not guard.call(self._crashed, turn, self):
                states[user_id] = _RUNNING
                self.iteration += 1
                self.turn_ns = now_ns() - pause.clock.earlier_ns
                outcome = _CRASHED
                if self._has_crashed:
                    self._has_crashed = False
                    self._recovering_since_ns = now_ns()
                try:
                    if ITERATION_START.subscribers or ITERATION_STOP.subscribers:
                        self._run_in_span()
                    else:
                        self._run_once()
                finally:
                    if self.pending_interrupt is not None:
                        self.pending_interrupt = None  # meant for this iteration only
                    pool.iteration_ended(self)
                outcome = self._iteration_over()
                if self.stop_reason or self.iteration >= pool.repeat_num:
                    break
                if turn is None:
                    states[user_id] = _BETWEEN
                    # A timeout that start() left running may fire here.
                    if guard.call(self._crashed, self.wait_stopping, self.pause_s()):
                        break
        except UserStopped as stopped:
            outcome = _FINISHED
            self._cut_short()
            stopped.on_user_ended()
        except Killed:
            outcome = int(UserState.TIMED_OUT)
            self._cut_short()
        except BaseException:
            # A bug in amoc: the user is lost, but counted, and the worker survives.
            traceback.print_exc()
        finally:
            states[user_id] = _REMOVED if self.stop_reason == _BY_REMOVAL else outcome
            pool.left(self)

    def _cut_short(self) -> None:
        """Count an iteration cut short by the user's end, unless it was only a retry."""
        if not self._crashes_in_a_row or self._has_recovered():
            _iterations.inc()

    def _has_recovered(self) -> bool:
        """Return whether an iteration after a crash has run for too long to be a mere retry."""
        return now_ns() - self._recovering_since_ns > MAX_CRASH_PAUSE_S * S_NS

    def _iteration_over(self) -> int:
        """Count an iteration that was not cut short; return the user's state if it was the last."""
        if self._has_crashed:
            self._crashes_in_a_row += 1
            return _CRASHED
        if self._crashes_in_a_row:
            self._crashes_in_a_row = 0
        _iterations.inc()
        return _FINISHED

    def pause_s(self) -> float:
        """Return the time until the next iteration."""
        if self._crashes_in_a_row:
            first_s = self.pool.crash_pause_s
            return backoff(self._crashes_in_a_row, first_s, MAX_CRASH_PAUSE_S, _random.random())
        return self.pool.repeat_interval_s

    def _run_once(self) -> None:
        """Run an iteration without events; `guard.call` inlined, to keep the user's stack small."""
        try:
            self.pool.run_once(self.id)
        except BaseException as error:
            if guard.is_end(error):
                raise
            self._crashed(error)
        else:
            if guard.leave is not None:
                guard.leave(None)

    def _run_in_span(self) -> None:
        """Run an iteration and send its events to subscribers."""
        raised: list[BaseException] = []

        def crashed(error: BaseException) -> None:
            raised.append(error)
            self._crashed(error)

        if ITERATION_START.subscribers:
            ITERATION_START(self.id, iteration=self.iteration)
        begun_ns = now_ns()
        try:
            guard.call(crashed, self.pool.run_once, self.id)
        except guard.Ended as ended:
            raised.append(ended)
            raise
        finally:
            duration_ns = now_ns() - begun_ns
            if ITERATION_STOP.subscribers:
                ITERATION_STOP(
                    self.id,
                    iteration=self.iteration,
                    duration_ns=duration_ns,
                    error=headline_of(raised[0], "") if raised else "",
                    exception=raised[0] if raised else None,
                )
            raised.clear()  # break the cycle between the exception and this frame

    def _crashed(self, error: BaseException) -> None:
        self._has_crashed = True
        self.pool.crashed(self, error)

    def wait_stopping(self, seconds: float) -> bool:
        """Wait until asked to stop, for at most `seconds`; return whether that was asked."""
        if not self.stopping:
            wait(_UntilStopped(), seconds)
        return bool(self.stop_reason)

    def ask_to_stop(self, why: StopReason, soon: _Soon | None = None) -> None:
        """Ask the user to finish this iteration and begin no other; interrupts a wait in amoc.

        Args:
            why: The reason.
            soon: Schedules a call in the hub; None means at the next turn of the loop.
        """
        is_first = not self.stop_reason
        if why > self.stop_reason:
            self.stop_reason = why
        if why is _BY_REMOVAL and self.pool.states[self.id] == UserState.RUNNING:
            self.pool.states[self.id] = UserState.STOPPING  # it must not start again
        if not is_first:
            return
        waiter = self.waiting_for
        if type(waiter) is _UntilStopped and not waiter.done:
            waiter.done = True
            (soon or get_hub().loop.run_callback)(waiter.resume)
        else:
            interrupt(self, UserStopped())

    def stop(self) -> NoReturn:
        """End this user, the calling one, for good.

        Raises:
            UserStopped: Always.
        """
        self.stop_reason = self.stop_reason or StopReason.OWN
        self.pending_interrupt = None
        raise UserStopped

    def kill(self) -> None:
        """Raise `Killed` in the user at the loop's next turn.

        A user that has not begun, and was asked to stop before, never begins.
        """
        get_hub().loop.run_callback(self._throw_exit)

    def _throw_exit(self) -> None:
        if self:  # begun and not ended
            self.throw(Killed)

    def is_stopping(self) -> bool:
        """Return whether it was asked to stop, which counts as its notification.

        Blocks while the run is paused.
        """
        if pause.clock.since_ns:
            pause.wait_resumed()
        if self.stop_reason:
            self.pending_interrupt = None
            return True
        return False

    stopping = property(is_stopping)

    @property
    def random(self) -> _random.Random:
        """The user's own random generator, created on first use."""
        generator: _random.Random | None = self.__dict__.get("_random")
        if generator is None:
            generator = self._random = _random.Random(f"{self.pool.seed}/{self.id}")
        return generator

    def __repr__(self) -> str:
        stopping = ", stopping" if self.stop_reason else ""
        return f"<user {self.id}, iteration {self.iteration}{stopping}>"


class NotAUser(ClosedError, AttributeError):
    """Raised by functions for users when the caller is not a user."""


def current() -> User:
    """Return the calling user.

    Raises:
        NotAUser: The caller is not a user; greenlets spawned by a user are not users either.
    """
    caller = getcurrent()
    if isinstance(caller, User):
        return caller
    raise NotAUser(
        "amoc.user is available only to a user: use it in start() and what start() calls"
    )
