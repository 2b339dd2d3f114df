"""What a scenario asks about the user that is calling: `from amoc import user`.

`user.id`, `user.iteration`, `user.random` and `user.stopping` are the calling user's, `sleep`,
`think`, `pace` and `wait_stopping` let it wait, `pick` chooses what it does next, and `stop` ends
it.
"""

from __future__ import annotations

import random as _random
import sys
import warnings
from math import inf
from types import ModuleType
from typing import Any, NoReturn

from gevent import getcurrent

from amoc.base import pause
from amoc.base.waiting import Waiter, wait
from amoc.users.mail import receive, send
from amoc.users.pacing import pace, pick, think
from amoc.users.spawned import spawn, together
from amoc.users.user import User, UserStopped, current

__all__ = [
    "UserStopped",
    "pace",
    "pick",
    "receive",
    "send",
    "sleep",
    "spawn",
    "stop",
    "think",
    "together",
    "wait_stopping",
]

id: int
"""The calling user's number, unique over the whole run, from 1."""
iteration: int
"""How many times the calling user has begun start(), from 1."""
stopping: bool
"""Whether the calling user was asked to stop: do what is needed to end well, and return."""
random: _random.Random
"""A generator of the calling user's own, made from the run's seed and its id."""

MIN_SLEEP_S = 1e-6
"""A sleep of 0 would let only those run that are ready; timers and sockets would starve."""


def sleep(seconds: float) -> None:
    """Let other users run for `seconds`; ``inf`` means until the user is asked to stop.

    Raises:
        ValueError: `seconds` is negative.
        UserStopped: The user was asked to stop.
    """
    if not seconds >= 0:
        raise ValueError(f"sleep must be at least 0 s, got {seconds}")
    wait(Waiter(), seconds or MIN_SLEEP_S)


def stop() -> NoReturn:
    """End the calling user for good: it leaves here, and counts as finished.

    ``finally`` blocks and ``with`` statements run, as for a user that is asked to stop.

    Raises:
        UserStopped: Always.
    """
    current().stop()


def wait_stopping(timeout: float = inf) -> bool:
    """Wait until the calling user is asked to stop, `timeout` seconds at the most.

    Returns:
        Whether it was asked.
    """
    return current().wait_stopping(timeout)


def wait_leaving(timeout: float = inf) -> bool:
    """`wait_stopping`, as it was called before."""
    _warn("wait_leaving", "wait_stopping")
    return wait_stopping(timeout)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"user.{old} is now user.{new}", DeprecationWarning, stacklevel=3)


def _is_stopping(_: ModuleType) -> bool:
    me = getcurrent()
    if isinstance(me, User) and not (me.stop_reason or pause.clock.since_ns):
        return False  # the usual answer, without further calls: loops ask in each turn
    return current().is_stopping()


class _OfCaller(ModuleType):
    """This module, for users; by way of `__getattr__` it would take them three times as long."""

    id = property(lambda _: current().id)
    iteration = property(lambda _: current().iteration)
    random = property(lambda _: current().random)
    stopping = property(_is_stopping)


def __getattr__(name: str) -> Any:
    if name in vars(_OfCaller):  # it has raised, and Python asks here before it says so
        return getattr(current(), name)
    if name == "leaving":
        _warn("leaving", "stopping")
        return current().stopping
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _OfCaller
