"""Load shapes: classes of a locustfile that set the number of users from second to second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from numbers import Real
from typing import TYPE_CHECKING

from amoc.base.errors import ScenarioError
from amoc.ipc import rpc
from amoc.locust.steps_of_shape import Steps

if TYPE_CHECKING:
    from amoc.locust.environment import Runner
    from amoc.locust.locustfile import Locustfile
    from amoc.locust.users import User

TICK_S = 1.0
"""How often a shape's tick() is called."""
COMMAND_S = 30.0
"""Time limit for the controller to add or remove users."""
Wanted = tuple[float, float] | tuple[float, float, "Sequence[type[User]] | None"]
"""A number of users, users to start per second, and perhaps classes to start users of."""


class LoadTestShape:
    """Base class of load shapes.

    Attributes:
        abstract: Whether it is only a base of other classes.
        runner: The runner of the run.
    """

    abstract = True
    use_common_options = False
    runner: Runner | None = None

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "abstract" not in cls.__dict__:
            cls.abstract = False

    def __init__(self) -> None:
        self.start_time = time.perf_counter()

    def reset_time(self) -> None:
        """Restart the run time at 0."""
        self.start_time = time.perf_counter()

    def get_run_time(self) -> float:
        """Return the seconds since the run started."""
        return time.perf_counter() - self.start_time

    def get_current_user_count(self) -> int:
        """Return the number of users."""
        return self.runner.user_count if self.runner is not None else 0

    def tick(self) -> Wanted | None:
        """Return the wanted number of users and the spawn rate per second; None to end the run."""
        raise NotImplementedError(f"{type(self).__name__} must have a method tick()")


class ShapeDriver:
    """Makes the number of users follow a shape. Runs in the worker of the run's first user.

    That user exists from the start, and waits while the shape wants no users. So a run does not end
    when the number of users drops to 0 temporarily.

    Attributes:
        wanted: The number of users that the shape wants.
        is_over: Whether the shape has ended the run.
    """

    def __init__(
        self,
        shape: LoadTestShape,
        runner: Runner,
        idle: Callable[[], object],
        file: Locustfile,
        users: int = 0,
    ) -> None:
        """Drive a run.

        Args:
            shape: The load shape.
            runner: The runner of the run.
            idle: Makes the first user wait until it is wanted again.
            file: The locustfile of the shape.
            users: The current number of users.
        """
        self._shape = shape
        self._runner = runner
        self._idle = idle
        self._file = file
        self._steps = Steps(users)
        self.wanted = users
        self.is_over = False

    def follow(self) -> None:
        """Call tick() once, and apply its result."""
        wants = self._shape.tick()
        if wants is None:
            self.is_over = True
            self._runner.end("the load shape has ended")
            return
        if not _is_valid(wants):
            raise ScenarioError(
                f"tick() of {type(self._shape).__name__} must return a number of users from 0 and a"
                f" rate above 0, got {wants!r}"
            )
        target, rate = wants[:2]
        self._file.choose((wants[2] if len(wants) > 2 else None) or ())
        steps, users = self._steps, round(target)
        before = steps.count
        change = steps.towards(users, rate, TICK_S)
        self._runner.target_user_count, self._runner.user_count = users, steps.count
        self._let_come(before, change)
        if change and steps.count == users:
            self._file.all_here(users)

    def _let_come(self, before: int, change: int) -> None:
        """Add or remove users. The first user only starts or pauses."""
        after = before + change
        self.wanted = after
        if change > 0:
            new = change - (before == 0)
            if new:
                rpc.ask(rpc.ADD_USERS, new, timeout_s=COMMAND_S)
        elif change < 0:
            gone = -change - (after == 0)
            if gone:
                rpc.ask(rpc.REMOVE_USERS, gone, timeout_s=COMMAND_S)
            if after == 0:
                self._idle()


def _is_valid(wants: object) -> bool:
    return (
        isinstance(wants, tuple | list)
        and len(wants) in (2, 3)
        and all(isinstance(one, Real) for one in wants[:2])
        and 0 <= wants[0] < inf
        and 0 < wants[1] < inf
    )
