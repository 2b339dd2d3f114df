"""A process of a locustfile's run: its users, and calls of listeners."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event

from amoc.base import context
from amoc.ipc.peer_link import PeerLink
from amoc.locust.shape import TICK_S, LoadTestShape, ShapeDriver
from amoc.scenario.facts import RunFacts
from amoc.users.user import User as Crow

if TYPE_CHECKING:
    from amoc.locust.locustfile import Locustfile
    from amoc.locust.users import User

POLL_S = 0.1
"""How often users that wait for listeners check whether they were asked to stop."""


class Shared(ctypes.Structure):
    """State shared by the processes of a run on one host, in a few bytes of shared memory.

    Attributes:
        exit_code: Exit code that a listener of `quitting` has set.
        shape_began: Start time of the load shape, by `time.perf_counter`; 0 before.
        shape_users: Number of users that the load shape has started, minus those that it has
            removed.
        classes: Classes of the users that start, a bit for each; 0 for all.
    """

    exit_code: int
    shape_began: float
    shape_users: int
    classes: int
    _fields_ = (
        ("exit_code", ctypes.c_int64),
        ("shape_began", ctypes.c_double),
        ("shape_users", ctypes.c_int64),
        ("classes", ctypes.c_uint64),
    )

    @classmethod
    def mapped(cls) -> Shared:
        """Return the state in memory that forked processes share."""
        return cls.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))


class Here:
    """The users of one process, and calls of listeners.

    Attributes:
        pid: The process id.
    """

    def __init__(
        self, of: Locustfile, facts: RunFacts, shape: LoadTestShape | None, shared: Shared
    ) -> None:
        """Create the state of this process.

        Args:
            of: The locustfile, whose listeners are called.
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
        self._alive: dict[int, User] = {}
        self._begun, self._changed = Event(), Event()
        self._first = first
        self._driver: ShapeDriver | None = None
        self._has_idled = self._has_ended = False

    def begin(self) -> None:
        """Call the listeners of the start. Then users may start."""
        try:
            runner = self._of.begin(self._users)
            if not self._hosts_first:
                return
            self._of.begin_greenlets()
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
        return self._wait(self._begun, self._begun.is_set)

    def wait_wanted(self) -> bool:
        """Wait until the load shape wants the first user. Return whether it does."""
        driver = self._driver
        if driver is None:
            return True
        done = self._wait(self._changed, lambda: driver.wanted > 0 or driver.is_over)
        return done and not driver.is_over

    def _wait(self, event: Event, is_done: Callable[[], bool]) -> bool:
        crow = getcurrent()
        while not is_done():
            if isinstance(crow, Crow) and crow.stopping:
                return False
            self._changed.clear()
            event.wait(POLL_S)
        return True

    def begins(self, user_id: int, user: User) -> None:
        """Note the start of a user. Call the listeners for it when it is the last expected one."""
        self._alive[user_id] = user
        self._count()
        if self._shape is None and user_id in self._expected:
            self._expected.remove(user_id)
            if not self._expected:
                in_no_user(self._of.all_here, self._users)

    def left(self, user_id: int) -> None:
        """Note the end of a user."""
        self._alive.pop(user_id, None)
        self._count()

    def _count(self) -> None:
        runner = self._of.environment.runner
        if runner is not None and self._shape is None:
            runner.user_count = len(self._alive)

    def _idle(self) -> None:
        user = self._alive.get(self._first)
        if user is not None:
            self._has_idled = True
            self._of.known.pause(user)

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
            self._of.end()


def in_no_user(what: Callable[..., object], *arguments: object) -> None:
    """Call `what` in a greenlet outside any user, so that it does not end with one."""
    get_hub().loop.run_callback(gevent.spawn, what, *arguments)
