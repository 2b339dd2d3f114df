"""Load shapes: a class of the locustfile says from second to second how many users there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from amoc.base.errors import ScenarioError
from amoc.ipc import rpc
from amoc.locust.steps_of_shape import Steps

TICK_S = 1.0
"""How often a shape is asked."""
COMMAND_S = 30.0
"""How long the controller may take to add or remove users."""


class LoadTestShape:
    """Base of load shapes.

    Attributes:
        abstract: Whether it is but a base of others.
        runner: The run's.
    """

    abstract = True
    use_common_options = False
    runner: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "abstract" not in cls.__dict__:
            cls.abstract = False

    def __init__(self) -> None:
        self.start_time = time.perf_counter()

    def reset_time(self) -> None:
        """Let the run's time begin now."""
        self.start_time = time.perf_counter()

    def get_run_time(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.start_time

    def get_current_user_count(self) -> int:
        """How many users there are."""
        count: int = self.runner.user_count
        return count

    def tick(self) -> Any:
        """How many users there shall be, and how many come or go a second; None ends the run."""
        raise NotImplementedError(f"{type(self).__name__} must have a method tick()")


class Whole(Protocol):
    """What a load shape is of."""

    def choose(self, classes: Sequence[Any]) -> None:
        """Have users that begin be of these classes; of all, if there are none."""

    def all_here(self, users: int) -> None:
        """There are as many users as the shape wants."""


class ShapeDriver:
    """Lets the number of users follow a shape; runs in the worker of the run's first user.

    That user is there from the beginning and waits while the shape wants nobody, so that a run
    does not end in a valley.

    Attributes:
        wanted: How many users the shape wants.
        is_over: Whether the shape has ended the run.
    """

    def __init__(
        self,
        shape: LoadTestShape,
        runner: Any,
        idle: Callable[[], object],
        file: Whole,
        users: int = 0,
    ) -> None:
        """Drive a run.

        Args:
            shape: Says how.
            runner: The run's.
            idle: Has the first user do nothing for a while.
            file: What the shape is of.
            users: How many there are.
        """
        self._shape = shape
        self._runner = runner
        self._idle = idle
        self._file = file
        self._steps = Steps(users)
        self.wanted = users
        self.is_over = False

    def follow(self) -> None:
        """Ask the shape once, and act by it."""
        wants = self._shape.tick()
        if wants is None:
            self.is_over = True
            self._runner.end("the load shape has ended")
            return
        target, rate, *classes = wants
        self._file.choose((classes and classes[0]) or ())
        if target < 0 or rate <= 0:
            raise ScenarioError(
                f"tick() of {type(self._shape).__name__} must return a number of users from 0 and a"
                f" rate above 0, got {wants!r}"
            )
        steps, users = self._steps, round(target)
        before = steps.count
        change = steps.towards(users, rate, TICK_S)
        self._runner.target_user_count, self._runner.user_count = users, steps.count
        self._let_come(before, change)
        if change and steps.count == users:
            self._file.all_here(users)

    def _let_come(self, before: int, change: int) -> None:
        """Add or remove users; the first one only begins or pauses."""
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
