"""The scenario's view of the calling user: `from amoc import user`.

`user.id`, `user.iteration`, `user.random` and `user.stopping` describe the calling user; `sleep`,
`think`, `pace` and `wait_stopping` make it wait; `pick` chooses its next action; `stop` ends it.
"""

from __future__ import annotations

import random as _random
import sys
import warnings
from math import inf
from types import ModuleType
from typing import NoReturn

from gevent import getcurrent

from amoc.base import pause
from amoc.base.waiting import Waiter, wait
from amoc.users.mail import receive, send
from amoc.users.pacing import SHORT_S, pace, pick, think
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
"""The calling user's number, from 1, unique across the whole run."""
iteration: int
"""The number of the calling user's current iteration of start(), from 1."""
stopping: bool
"""Whether the calling user has been asked to stop: clean up and return."""
random: _random.Random
"""The calling user's own random generator, seeded with the run's seed and the user's id."""


def sleep(seconds: float) -> None:
    """Suspend the calling user for `seconds`; ``inf`` means until it is asked to stop.

    Raises:
        ValueError: `seconds` is negative.
        UserStopped: The user was asked to stop.
    """
    if not seconds >= 0:
        raise ValueError(f"sleep must be at least 0 s, got {seconds}")
    wait(Waiter(), seconds or SHORT_S)


def stop() -> NoReturn:
    """End the calling user for good; it counts as finished.

    ``finally`` blocks and ``with`` statements run as usual.

    Raises:
        UserStopped: Always.
    """
    current().stop()


def wait_stopping(timeout: float = inf) -> bool:
    """Wait until the calling user is asked to stop, for at most `timeout` seconds.

    Returns:
        Whether it has been asked to stop.
    """
    return current().wait_stopping(timeout)


def wait_leaving(timeout: float = inf) -> bool:
    """Former name of `wait_stopping`."""
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
    """This module's attributes for users; `__getattr__` would be three times as slow."""

    id = property(lambda _: current().id)
    iteration = property(lambda _: current().iteration)
    random = property(lambda _: current().random)
    stopping = property(_is_stopping)


def __getattr__(name: str) -> object:
    if name in vars(_OfCaller):  # the property raised; Python tries here before it reports that
        return getattr(current(), name)
    if name == "leaving":
        _warn("leaving", "stopping")
        return current().stopping
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _OfCaller
