"""The user: a greenlet with an id that runs start() again and again until it is done.

A scenario asks about the user that is calling: `user.id`, `user.iteration`, `user.random`,
`user.leaving`, and waits with `sleep` and `wait_leaving`.

Users are raw greenlets below gevent's hub, because a hundred thousand of them are wanted at once: a
third less memory and start-up time than `gevent.Greenlet`, and all that gevent's own primitives
need. What a user does when it ends or crashes is its crowd's business
(`amoc.runtime.worker.user_pool`).
"""

from __future__ import annotations

import random as _random
import traceback
from collections.abc import Callable
from enum import IntEnum
from math import inf
from typing import Any, Protocol

import gevent
from gevent import get_hub, getcurrent
from greenlet import GreenletExit, greenlet

from amoc.base import pause
from amoc.base.errors import ClosedError
from amoc.metrics.board import UserState
from amoc.users.mail import Recipient, receive, send

__all__ = ["receive", "send", "sleep", "wait_leaving"]

id: int
"""The calling user's number, unique over the whole run, from 1."""
iteration: int
"""How many times the calling user has begun start(), from 1."""
leaving: bool
"""Whether the calling user was asked to finish: do what is needed to end well, and return."""
random: _random.Random
"""A generator of the calling user's own, made from the run's seed and its id."""

MIN_SLEEP_S = 1e-6
CRASH_PAUSE_S = 0.1
"""The least pause after an iteration that raised: a user whose target is gone must not spin."""


class Leave(IntEnum):
    """Why a user was asked to leave."""

    STAY = 0
    RUN_ENDS = 1
    """Counts as finished when it has returned."""
    REMOVED = 2
    """Counts as removed."""


class Leaving(GreenletExit):
    """Ends the iteration of a user that stood in line, for a throttle say, when it was to leave.

    It has not begun what it stood in line for, so it counts as having finished.
    """


class States(Protocol):
    """A `UserState` for each id: the board's bytes, or something that behaves like them."""

    def __getitem__(self, user_id: int, /) -> int: ...
    def __setitem__(self, user_id: int, state: int, /) -> None: ...


class UserPool(Protocol):
    """What a user needs of those it belongs to."""

    seed: int
    repeat_num: float
    repeat_interval_s: float

    @property
    def states(self) -> States:
        """Where the users' states are noted."""

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


class User(Recipient):
    """One simulated user.

    Attributes:
        id: Its number, unique over the whole run.
        iteration: How many times it has begun start().
        leave: Whether and why it was asked to leave.
        on_leave: Called once when it is asked, while it waits for something in vain.
    """

    on_leave: Callable[[], object] | None = None

    def __init__(self, user_id: int, crowd: UserPool) -> None:
        greenlet.__init__(self, None, get_hub())
        self.id = user_id
        self.crowd = crowd
        self.iteration = 0
        self.leave = Leave.STAY
        self._parked = False

    def run(self) -> None:
        """Run start() as often as the settings say. Never raises: the hub would die of it."""
        crowd, user_id, states = self.crowd, self.id, self.crowd.states
        if self.leave:
            crowd.turn_away(user_id)
            crowd.left(self)
            return
        outcome = UserState.REMOVED
        try:
            while True:
                states[user_id] = UserState.RUNNING
                self.iteration += 1
                outcome, pause_s = UserState.FINISHED, 0.0
                try:
                    crowd.run_once(user_id)
                except GreenletExit:
                    raise
                except BaseException as error:
                    outcome, pause_s = UserState.CRASHED, CRASH_PAUSE_S
                    crowd.crashed(self, error)
                finally:
                    crowd.iteration_ended(self)
                if self.leave or self.iteration >= crowd.repeat_num:
                    break
                states[user_id] = UserState.BETWEEN
                if self.wait_leaving(max(crowd.repeat_interval_s, pause_s)):
                    break
        except Leaving:
            outcome = UserState.FINISHED
        except GreenletExit:
            outcome = UserState.REMOVED
        except BaseException:
            # A defect of ours: the user is lost, but neither is the worker nor is it forgotten.
            traceback.print_exc()
        finally:
            states[user_id] = UserState.REMOVED if self.leave is Leave.REMOVED else outcome
            crowd.left(self)

    def wait_leaving(self, seconds: float) -> bool:
        """Wait until asked to leave, `seconds` at the most; whether that was asked."""
        return pause.wait(self._park, seconds)

    def _park(self, seconds: float) -> bool:
        if self.leave:
            return True
        hub = get_hub()
        timer = None
        if seconds < inf:
            timer = hub.loop.timer(seconds)
            timer.start(self._unpark)
        self._parked = True
        try:
            hub.switch()
        finally:
            self._parked = False
            if timer is not None:
                timer.stop()
                timer.close()
        return bool(self.leave)

    def _unpark(self) -> None:
        # The timer and ask_to_leave may both come in one turn of the loop; only one may switch.
        if self._parked:
            self._parked = False
            self.switch()

    def ask_to_leave(self, why: Leave) -> None:
        """Let it finish this iteration and not begin another; wakes it if it waits for that."""
        self.leave = max(self.leave, why)
        if why is Leave.REMOVED and self.crowd.states[self.id] == UserState.RUNNING:
            self.crowd.states[self.id] = UserState.LEAVING  # who would not start again
        if self._parked:
            get_hub().loop.run_callback(self._unpark)
        if self.on_leave is not None:
            get_hub().loop.run_callback(self._end_wait)

    def _end_wait(self) -> None:
        # What it waited for may have come meanwhile.
        if self.on_leave is not None:
            call, self.on_leave = self.on_leave, None
            call()

    def kill(self) -> None:
        """Raise GreenletExit where it stands, at the loop's next turn."""
        get_hub().loop.run_callback(self._throw_exit)

    def _throw_exit(self) -> None:
        if not self.dead:
            self.throw(GreenletExit)

    @property
    def leaving(self) -> bool:
        """Whether it was asked to finish; a pause of the run holds whoever asks."""
        pause.wait_resumed()
        return bool(self.leave)

    @property
    def random(self) -> _random.Random:
        """Its own generator of random numbers, made at the first use."""
        generator: _random.Random | None = self.__dict__.get("_random")
        if generator is None:
            generator = self._random = _random.Random(f"{self.crowd.seed}/{self.id}")
        return generator

    def __repr__(self) -> str:
        return f"<user {self.id}, iteration {self.iteration}{', leaving' if self.leave else ''}>"


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
    raise NotAUser("amoc.user is only there for a user: use it in start() and what start() calls")


def sleep(seconds: float) -> None:
    """Let other users run for `seconds`; ``inf`` means until the user is taken out.

    Raises:
        ValueError: `seconds` is negative.
    """
    if not seconds >= 0:
        raise ValueError(f"sleep must be at least 0 s, but is {seconds}")
    pause.wait(_sleep, seconds)


def _sleep(seconds: float) -> None:
    if seconds < inf:
        # gevent.sleep(0) lets only those run that are ready; timers and sockets would starve.
        gevent.sleep(seconds or MIN_SLEEP_S)
    else:
        get_hub().switch()


def wait_leaving(timeout: float = inf) -> bool:
    """Wait until the calling user is asked to leave, `timeout` seconds at the most.

    Returns:
        Whether it was asked.
    """
    return current().wait_leaving(timeout)


def __getattr__(name: str) -> Any:
    if name in ("id", "iteration", "leaving", "random"):
        return getattr(current(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
