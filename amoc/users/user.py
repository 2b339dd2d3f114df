"""A user: a greenlet with an id that runs start() again and again until it is done.

Users are raw greenlets below gevent's hub, because a hundred thousand of them are wanted at once: a
third less memory and start-up time than `gevent.Greenlet`, and all that gevent's own primitives
need. What a user does when it ends or crashes is its pool's business
(`amoc.runtime.worker.user_pool`).

A user that is asked to stop, because the run ends or it is removed, learns of it once:
`UserStopped` is raised where it waits for amoc or for a message (`amoc.base.waiting.wait`), or it
has read `stopping`. From then on it is left alone to end well, until it is killed.
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
"""What the pause after iterations that raised grows to, on average."""
_iterations = metrics.built_in(metrics.Counter, reserved.ITERATIONS)


class StopReason(IntEnum):
    """Why a user was asked to stop."""

    NONE = 0
    OWN = 1
    """It has called `user.stop`; counts as finished."""
    RUN_ENDS = 2
    """Counts as finished when it has returned."""
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
"""What subscribers are told of a user that is gone; all others were removed."""
# As numbers: names of an enumeration are looked up anew each time, and each user has several.
_RUNNING, _BETWEEN = int(UserState.RUNNING), int(UserState.BETWEEN)
_GOES_ON, _BY_REMOVAL = StopReason.NONE, StopReason.REMOVED
_FINISHED, _CRASHED, _REMOVED = map(int, (UserState.FINISHED, UserState.CRASHED, UserState.REMOVED))


class UserStopped(guard.Ended, GreenletExit):
    """Ends the iteration of a user that was asked to stop while it waits, for a throttle say.

    It is no `Exception`, so that only who means to catches it. The user counts as finished.
    """

    def is_meant(self) -> bool:
        """Whether the user was asked to stop."""
        return bool(getattr(getcurrent(), "stop_reason", False))

    def has_ended_user(self) -> None:
        """A user has not caught it, and is gone for good."""


class _UntilStopped(Waiter[None]):
    """Waits to be asked to stop; so that is no interrupt, and needs no exception."""


_Soon = Callable[[Callable[[], None]], object]


class UserPool(Protocol):
    """What a user needs of those it belongs to."""

    seed: int
    repeat_num: float
    repeat_interval_s: float
    crash_pause_s: float

    @property
    def states(self) -> memoryview[int] | dict[int, int]:
        """A `UserState` for each id."""

    @property
    def wait_turn(self) -> Callable[[User], bool] | None:
        """Waits for the turn of a user's next iteration; whether the user is to leave instead.

        None where iterations begin after a pause.
        """

    def run_once(self, user_id: int) -> object:
        """The scenario's start()."""

    def crashed(self, user: User, error: BaseException) -> None:
        """Count and log what start() raised."""

    def iteration_ended(self, user: User) -> None:
        """start() is over, however it ended: take back what the user still holds."""

    def left(self, user: User) -> None:
        """Forget a user that is gone for good."""

    def turn_away(self, user_id: int) -> None:
        """A user has left before its first iteration."""


class User(greenlet):
    """One simulated user.

    Attributes:
        id: Its number, unique over the whole run.
        iteration: How many times it has begun start().
        turn_ns: When its iteration, or its turn of a paced loop, began: the run's time without
            pauses.
        stop_reason: Whether and why it was asked to stop.
        mailbox: Made when it is first needed; most users never need one.
        arrival: Which arrival of its worker this iteration is, where a rate starts iterations.
        waiting_for: What it waits for (`amoc.base.waiting`).
        pending_interrupt: What it raises when it waits next (`amoc.base.waiting`).
        interrupt_key: By which that can be withdrawn.
        spawned: The greenlets that it has spawned and that have not ended (`amoc.users.spawned`).
        feed_cursors: How many rows it has read of feeds that it reads by itself (`amoc.feed`).
        run_iteration: The number over the whole run (`amoc.users.run`) of
        numbered: this iteration of its own, the last that was numbered.
    """

    # The rest are defaults of the class: a dictionary that most users never need takes 180 bytes.
    __slots__ = ("id", "iteration", "pool", "stop_reason", "turn_ns", "waiting_for")

    mailbox: Mailbox | None = None
    arrival = 0
    pending_interrupt: BaseException | None = None
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

    @staticmethod
    def run() -> None:
        """Run start() as often as the settings say. Never raises: the hub would die of it."""
        # A method would leave itself, and 150 bytes more of C's stack, with each user.
        self = current()
        pool, user_id, states = self.pool, self.id, self.pool.states
        if self.stop_reason:
            pool.turn_away(user_id)
            pool.left(self)
            return
        outcome = _FINISHED
        try:
            # Where there are turns it waits for one, and may have to leave instead.
            while (turn := pool.wait_turn) is None or not guard.call(self._crashed, turn, self):
                states[user_id] = _RUNNING
                self.iteration += 1
                self.turn_ns = now_ns() - pause.clock.earlier_ns
                outcome = _CRASHED
                if self._has_crashed:
                    self._has_crashed = False
                    self._recovering_since_ns = now_ns()
                try:
                    if ITERATION_START.heard or ITERATION_STOP.heard:
                        self._run_in_span()
                    else:
                        self._run_once()
                finally:
                    if self.pending_interrupt is not None:
                        self.pending_interrupt = None  # it was meant for this iteration
                    pool.iteration_ended(self)
                outcome = self._iteration_over()
                if self.stop_reason or self.iteration >= pool.repeat_num:
                    break
                if turn is None:
                    states[user_id] = _BETWEEN
                    # A time-out that start() has left running may be raised here.
                    if guard.call(self._crashed, self.wait_stopping, self.pause_s()):
                        break
        except UserStopped as stopped:
            outcome = _FINISHED
            self._cut_short()
            stopped.has_ended_user()
        except Killed:
            outcome = int(UserState.TIMED_OUT)
            self._cut_short()
        except BaseException:
            # A defect of ours: the user is lost, but neither is the worker nor is it forgotten.
            traceback.print_exc()
        finally:
            states[user_id] = _REMOVED if self.stop_reason == _BY_REMOVAL else outcome
            pool.left(self)

    def _cut_short(self) -> None:
        """Count an iteration that the user's end has cut short, unless it was but an attempt."""
        if not self._crashes_in_a_row or self._has_recovered():
            _iterations.inc()

    def _has_recovered(self) -> bool:
        """Whether an iteration after a crash that is cut short was more than an attempt."""
        return now_ns() - self._recovering_since_ns > MAX_CRASH_PAUSE_S * S_NS

    def _iteration_over(self) -> int:
        """Count an iteration that was not cut short; how the user is gone if it was the last."""
        if self._has_crashed:
            self._crashes_in_a_row += 1
            return _CRASHED
        if self._crashes_in_a_row:
            self._crashes_in_a_row = 0
        _iterations.inc()
        return _FINISHED

    def pause_s(self) -> float:
        """How long until the next iteration."""
        if self._crashes_in_a_row:
            first_s = self.pool.crash_pause_s
            return backoff(self._crashes_in_a_row, first_s, MAX_CRASH_PAUSE_S, _random.random())
        return self.pool.repeat_interval_s

    def _run_once(self) -> None:
        """An iteration that nobody observes; `guard.call` without arguments that users keep."""
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
        """An iteration that somebody observes."""
        raised: list[BaseException] = []

        def crashed(error: BaseException) -> None:
            raised.append(error)
            self._crashed(error)

        if ITERATION_START.heard:
            ITERATION_START(self.id, iteration=self.iteration)
        begun_ns = now_ns()
        try:
            guard.call(crashed, self.pool.run_once, self.id)
        except guard.Ended as ended:
            raised.append(ended)
            raise
        finally:
            duration_ns = now_ns() - begun_ns
            if ITERATION_STOP.heard:
                ITERATION_STOP(
                    self.id,
                    iteration=self.iteration,
                    duration_ns=duration_ns,
                    error=headline_of(raised[0], "") if raised else "",
                    exception=raised[0] if raised else None,
                )
            raised.clear()  # it refers to this frame, which would refer to it

    def _crashed(self, error: BaseException) -> None:
        self._has_crashed = True
        self.pool.crashed(self, error)

    def wait_stopping(self, seconds: float) -> bool:
        """Wait until asked to stop, `seconds` at the most; whether that was asked."""
        if not self.stopping:
            wait(_UntilStopped(), seconds)
        return bool(self.stop_reason)

    def ask_to_stop(self, why: StopReason, soon: _Soon | None = None) -> None:
        """Let it finish this iteration and not begin another; a wait of amoc's ends at once.

        Args:
            why: Why.
            soon: Takes what is to be called in the hub; None means at the loop's next turn.
        """
        is_first = not self.stop_reason
        if why > self.stop_reason:
            self.stop_reason = why
        if why is _BY_REMOVAL and self.pool.states[self.id] == UserState.RUNNING:
            self.pool.states[self.id] = UserState.STOPPING  # who would not start again
        if not is_first:
            return
        waiter = self.waiting_for
        if type(waiter) is _UntilStopped and not waiter.done:
            waiter.done = True
            (soon or get_hub().loop.run_callback)(waiter.resume)
        else:
            interrupt(self, UserStopped())

    def stop(self) -> NoReturn:
        """Leave for good, now; to be called by itself.

        Raises:
            UserStopped: Always.
        """
        self.stop_reason = self.stop_reason or StopReason.OWN
        self.pending_interrupt = None
        raise UserStopped

    def kill(self) -> None:
        """Raise `Killed` where it stands, at the loop's next turn.

        One that was asked to stop before, and has not begun, never does.
        """
        get_hub().loop.run_callback(self._throw_exit)

    def _throw_exit(self) -> None:
        if self:  # it has begun, and not ended
            self.throw(Killed)

    def is_stopping(self) -> bool:
        """Whether it was asked to stop, which it knows from now on; a pause holds up who asks."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        if self.stop_reason:
            self.pending_interrupt = None
            return True
        return False

    stopping = property(is_stopping)

    @property
    def random(self) -> _random.Random:
        """Its own generator of random numbers, made at the first use."""
        generator: _random.Random | None = self.__dict__.get("_random")
        if generator is None:
            generator = self._random = _random.Random(f"{self.pool.seed}/{self.id}")
        return generator

    def __repr__(self) -> str:
        stopping = ", stopping" if self.stop_reason else ""
        return f"<user {self.id}, iteration {self.iteration}{stopping}>"


class NotAUser(ClosedError, AttributeError):
    """Something that only a user has was asked for by somebody else."""


def current() -> User:
    """The calling user.

    Raises:
        NotAUser: The caller is not a user; a greenlet that a user spawned is none either.
    """
    caller = getcurrent()
    if isinstance(caller, User):
        return caller
    raise NotAUser(
        "amoc.user is available only to a user: use it in start() and what start() calls"
    )
