"""A process of a locustfile's run: its users, and calls of listeners."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event

from amoc.base import context
from amoc.ipc.peer_link import PeerLink
from amoc.locust.environment import Environment
from amoc.locust.shape import TICK_S, LoadTestShape, ShapeDriver
from amoc.scenario.facts import RunFacts
from amoc.users.user import User as Crow

POLL_S = 0.1
"""How often users that wait for listeners check whether they were asked to stop."""


class Shared:
    """State shared by the processes of a run on one host, in a few bytes of shared memory."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")

    @property
    def exit_code(self) -> int:
        """Exit code that a listener of `quitting` has set."""
        return int(self._cells[0])

    @exit_code.setter
    def exit_code(self, code: int) -> None:
        self._cells[0] = code

    @property
    def shape_began(self) -> float:
        """Start time of the load shape, by `time.perf_counter`; 0 before."""
        return self._cells[1]

    @shape_began.setter
    def shape_began(self, at: float) -> None:
        self._cells[1] = at

    @property
    def classes(self) -> int:
        """Classes of the users that start, a bit for each; 0 for all."""
        return int(self._cells[3])

    @classes.setter
    def classes(self, chosen: int) -> None:
        self._cells[3] = chosen

    @property
    def shape_users(self) -> int:
        """Number of users that the load shape has started, minus those that it has removed."""
        return int(self._cells[2])

    @shape_users.setter
    def shape_users(self, users: int) -> None:
        self._cells[2] = users


class Listeners(Protocol):
    """Calls the listeners of a locustfile."""

    environment: Environment

    def begin_here(self, users: int) -> None:
        """Call those of the run's start, in a process that expects `users` users."""

    def all_here(self, users: int) -> None:
        """Call those for the event that all `users` have started."""

    def end_here(self) -> None:
        """Call those of the run's end, in this process."""

    def pause_here(self, user: Any) -> None:
        """Make a user end after its current task."""

    def choose(self, classes: Sequence[Any]) -> None:
        """Start users of these classes from now on."""

    def begin_greenlets(self) -> None:
        """Start the greenlets that one worker runs for all."""


class Here:
    """The users of one process, and calls of listeners.

    Attributes:
        pid: The process id.
    """

    def __init__(
        self, of: Listeners, facts: RunFacts, shape: LoadTestShape | None, shared: Shared
    ) -> None:
        """Create the state of this process.

        Args:
            of: Calls listeners.
            facts: The plan of the run.
            shape: The load shape, if there is one.
            shared: State shared by the processes of the run.
        """
        self.pid = os.getpid()
        self._of = of
        self._shape = shape
        self._shared = shared
        link = context.find(PeerLink)
        first, last = facts.users.start, facts.users.stop - 1
        mine: Sequence[range] = [facts.users]
        if link is not None:
            mine = link.places.ids_of(first, last, link.worker.worker)
        self._hosts_first = any(first in ids for ids in mine)
        if facts.is_part or not facts.users:  # the ids are not known in advance
            self._hosts_first = link is None or link.worker.worker == 0
            mine = []
        self._expected = set(chain.from_iterable(mine))
        self._users = len(self._expected)
        self._alive: dict[int, Any] = {}
        self._begun, self._changed = Event(), Event()
        self._first = first
        self._driver: ShapeDriver | None = None
        self._has_idled = self._has_ended = False

    def begin(self) -> None:
        """Call the listeners of the start. Then users may start."""
        try:
            self._of.begin_here(self._users)
            if not self._hosts_first:
                return
            self._of.begin_greenlets()
            runner = self._of.environment.runner
            if self._shape is not None:
                self._shared.shape_began = self._shared.shape_began or time.perf_counter()
                self._shape.reset_time()
                self._shape.start_time = self._shared.shape_began
                users = self._shared.shape_users  # those of an earlier worker, which was lost
                self._driver = ShapeDriver(self._shape, runner, self._idle, self._of, users)
        finally:
            self._begun.set()
        if self._driver is not None:
            self._drive(self._driver)

    def _drive(self, driver: ShapeDriver) -> None:
        try:
            while not driver.is_over:
                driver.follow()
                self._shared.shape_users = driver.wanted
                self._changed.set()
                gevent.sleep(TICK_S)
        finally:
            driver.is_over = True
            self._changed.set()

    def wait_begun(self) -> bool:
        """Wait until the listeners of the start have returned. Return False if asked to stop."""
        return self._wait(self._begun.wait, self._begun.is_set)

    def wait_wanted(self) -> bool:
        """Wait until the load shape wants the first user. Return whether it does."""
        driver = self._driver
        if driver is None:
            return True
        return (
            self._wait(
                lambda _: self._changed.wait(POLL_S), lambda: driver.wanted > 0 or driver.is_over
            )
            and not driver.is_over
        )

    def _wait(self, wait: Callable[[float], object], is_done: Callable[[], bool]) -> bool:
        crow = getcurrent()
        while not is_done():
            if isinstance(crow, Crow) and crow.stopping:
                return False
            self._changed.clear()
            wait(POLL_S)
        return True

    def begins(self, user_id: int, user: Any) -> None:
        """Note the start of a user. Call the listeners for it when it is the last expected one."""
        self._alive[user_id] = user
        runner = self._of.environment.runner
        if runner is not None and self._shape is None:
            runner.user_count = len(self._alive)
        if self._shape is None and user_id in self._expected:
            self._expected.discard(user_id)
            if not self._expected:
                in_no_user(self._of.all_here, self._users)

    def left(self, user_id: int) -> None:
        """Note the end of a user."""
        self._alive.pop(user_id, None)
        runner = self._of.environment.runner
        if runner is not None and self._shape is None:
            runner.user_count = len(self._alive)

    def _idle(self) -> None:
        user = self._alive.get(self._first)
        if user is not None:
            self._has_idled = True
            self._of.pause_here(user)

    def has_idled(self) -> bool:
        """Return whether the first user ended only to be idle for a while. Resets the answer."""
        found, self._has_idled = self._has_idled, False
        return found

    def end(self) -> None:
        """Call the listeners of the end, once, after all users have ended."""
        if self._driver is not None:
            self._driver.is_over = True
        if not self._has_ended:
            self._has_ended = True
            self._of.end_here()


def in_no_user(what: Callable[..., object], *arguments: object) -> None:
    """Call `what` in a greenlet outside any user, so that it does not end with one."""
    get_hub().loop.run_callback(gevent.spawn, what, *arguments)
