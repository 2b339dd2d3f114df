"""Feeds, which hand out a row to the calling user at each call of `next`.

There are three kinds. All users of the run share the rows of a `DealtFeed`, so the controller deals
them (`amoc.feed.worker` is the worker's supply). Each user reads all rows of a `UserFeed` on its
own. Rows of a `RandomFeed` are drawn at random.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import Generic, NoReturn, Protocol

from gevent import getcurrent

from amoc.base import context, pause
from amoc.base.errors import ScenarioError
from amoc.base.text import counted
from amoc.feed.reserve import CHUNK
from amoc.feed.sources import Row_co, Rows
from amoc.ipc import rpc
from amoc.metrics import optional, reserved
from amoc.scenario import settings
from amoc.users.spawned import owner_of
from amoc.users.user import User, UserStopped, current

USED, ROWS, STOPPED = "used", "rows", "users_stopped"
"""Suffixes of the names of a feed's metrics."""


def metric_name(feed: str, what: str) -> str:
    """Return the name of a feed's metric."""
    return f"{reserved.FEED}{feed}.{what}"


def check_time(what: str) -> None:
    """Check that feeds can be declared now.

    Raises:
        ScenarioError: It is too late: there are users.
    """
    handler = context.find(rpc.Handler)
    if handler is not None and not is_before_users(handler):
        raise ScenarioError(
            f"{what} must be called at a module's top level or in init(), so that all workers know"
            " it"
        )


def is_before_users(handler: rpc.Handler | None) -> bool:
    """Return whether the scenario is being imported or its init() is running.

    Args:
        handler: The handler of RPC calls in this process.
    """
    return settings.is_importing() or isinstance(handler, rpc.Recorder)


class Exhausted(UserStopped):
    """Raised when a feed has no row left; ends the user as finished unless caught.

    Attributes:
        feed: The feed's name.
    """

    def __init__(self, feed: str) -> None:
        super().__init__(f"feed {feed} has no row left")
        self.feed = feed

    def is_intended(self) -> bool:
        """Return whether the caller is a user, which this may end."""
        return isinstance(getcurrent(), User)

    def on_user_ended(self) -> None:
        """Count a user stopped by the feed."""
        optional.counter(metric_name(self.feed, STOPPED)).inc()


class Feed(Generic[Row_co]):
    """A source of rows for users.

    Attributes:
        name: Its name, unique in the run.
    """

    def __init__(self, name: str, rows: Rows[Row_co], at_end: str, order: str, share: str) -> None:
        self.name = name
        self._source = rows
        self._at_end = at_end
        self._order = order
        self._share = share
        self._used = optional.counter(metric_name(name, USED))
        if order == "unique" and at_end == "stop":
            optional.counter(metric_name(name, STOPPED))  # so that a threshold finds it at 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._source)

    def __repr__(self) -> str:
        return f"feed {self.name}: {counted(len(self), 'row')}, {self._order}, by {self._share}"

    @property
    def is_dealt_once(self) -> bool:
        """Whether each row is handed out only once in the whole run."""
        return False

    @property
    def declaration(self) -> tuple[object, ...]:
        """Its declaration for the controller: name, order, share, rows, whether it wraps."""
        return self.name, self._order, self._share, len(self), not self.is_dealt_once

    @abstractmethod
    def next(self) -> Row_co:
        """Return a row for the calling user; rows of files are dictionaries keyed by field name.

        Waits while the run is paused, and for a few milliseconds if the worker has no row in
        reserve and must get some from the controller.

        Raises:
            Exhausted: No row is left.
            ScenarioError: No row is left and `at_end` is ``fail``; the caller is an event-loop
                handler and the worker has no row in reserve; or there are no users here, as in
                init().
            UserStopped: The user was asked to stop while it waited.
            PeerError: The controller has not dealt any row in time.
        """

    def _row(self, number: int) -> Row_co:
        self._used.inc()
        return self._source.row(number)

    def _end(self) -> NoReturn:
        """Raise the error for a feed without rows left."""
        if self._at_end == "fail":
            raise ScenarioError(
                f"feed {self.name} has no row left of {len(self._source):,} (at_end is fail)"
            )
        raise Exhausted(self.name)


class Supply(Protocol):
    """A process's source of row numbers."""

    def take(self) -> tuple[int, int]:
        """Return a range of numbers as its first and its length; length 0 at the end."""


class DealtFeed(Feed[Row_co]):
    """A feed whose rows are handed out in order, across the whole run.

    Attributes:
        supply: The source of row numbers; created on first use outside a run.
    """

    def __init__(self, name: str, rows: Rows[Row_co], at_end: str, order: str) -> None:
        super().__init__(name, rows, at_end, order, "run")
        self.supply: Supply | None = None
        self._ready: list[Row_co] = []  # in reverse: the next row is last
        self._ready_end = 0

    @property
    def is_dealt_once(self) -> bool:
        """Whether each row is handed out only once in the whole run."""
        return self._order == "unique"

    def next(self) -> Row_co:
        """See `Feed`."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        ready = self._ready
        if ready:
            self._used.inc()
            return ready.pop()
        return self._next_block()

    def _next_block(self) -> Row_co:
        context.find(DealtFeed)  # raises in a process forked by a user
        supply = self.supply or self._local()
        first, count = supply.take()
        if not count:
            self._end()
        # No greenlet switch from here on, so `_ready` cannot change meanwhile.
        rows: list[Row_co] = []
        total, end = len(self._source), first + count
        while first < end:
            at = first % total
            part = min(end - first, total - at)
            rows += self._source.read(at, part)
            first += part
        self._used.inc()
        rows.reverse()
        row = rows.pop()
        if rows:
            self._ready, self._ready_end = rows, end
        return row

    def unread(self, forget: bool = False) -> tuple[int, int]:
        """Return the range of rows read but not handed out; drop them if `forget` is set."""
        count = len(self._ready)
        if forget:
            self._ready = []
        return self._ready_end - count, count

    def _local(self) -> Supply:
        if context.active().process or is_before_users(context.find(rpc.Handler)):
            raise ScenarioError(
                f"feed {self.name}: next() is for users of a run, not for init(), terminate()"
                " or a module's top level"
            )
        self.supply = LocalSupply(len(self._source), not self.is_dealt_once)
        return self.supply


class LocalSupply:
    """All row numbers in order, for use outside a run, such as in a test of a scenario."""

    def __init__(self, rows: int, wraps: bool) -> None:
        self._rows = rows
        self._wraps = wraps
        self._next = 0

    def take(self) -> tuple[int, int]:
        """See `Supply`."""
        first = self._next
        count = CHUNK if self._wraps else min(CHUNK, self._rows - first)
        self._next += count
        return first, count


class UserFeed(Feed[Row_co]):
    """A feed of which each user reads all rows in order."""

    def next(self) -> Row_co:
        """See `Feed`."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        me = owner_of(getcurrent()) or current()
        cursors = me.feed_cursors
        if cursors is None:
            cursors = me.feed_cursors = {}
        number = cursors.get(self.name, 0)
        if number >= len(self._source):
            if self._order == "unique":
                self._end()
            number = 0
        cursors[self.name] = number + 1
        return self._row(number)


class RandomFeed(Feed[Row_co]):
    """A feed whose rows are drawn with replacement by the calling user's random generator."""

    def next(self) -> Row_co:
        """See `Feed`."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        me = owner_of(getcurrent())
        draw = me.random.random if me is not None else random.random
        return self._row(int(draw() * len(self._source)))
