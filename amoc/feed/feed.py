"""A feed: what hands rows to users, one each time `next` is called.

Three kinds, by who may not get the same row: of a `DealtFeed` all users of the run take turns, so
its rows are dealt by the controller (`amoc.feed.worker` is this worker's supply); of a `UserFeed`
each user reads all rows by itself; of a `RandomFeed` rows are drawn.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import Any, NoReturn, Protocol

from gevent import getcurrent

from amoc.base import context, pause
from amoc.base.errors import ScenarioError
from amoc.base.text import counted
from amoc.feed.hand import CHUNK
from amoc.feed.sources import Rows
from amoc.ipc import rpc
from amoc.metrics import optional, reserved
from amoc.scenario import settings
from amoc.users.spawned import owner_of
from amoc.users.user import User, UserStopped, current

USED, ROWS, STOPPED = "used", "rows", "users_stopped"
"""How the names of a feed's metrics end."""


def metric_name(feed: str, what: str) -> str:
    """The name of a metric of a feed."""
    return f"{reserved.FEED}{feed}.{what}"


def check_time(what: str) -> None:
    """Nothing, if feeds can be declared now.

    Raises:
        ScenarioError: There are users already.
    """
    handler = context.find(rpc.Handler)
    if handler is not None and not is_before_users(handler):
        raise ScenarioError(
            f"{what} must be called at a module's top level or in init(), so that all workers know"
            " it"
        )


def is_before_users(handler: rpc.Handler | None) -> bool:
    """Whether the scenario is imported, or its init() runs, with this handler of calls."""
    return settings.is_importing() or isinstance(handler, rpc.Recorder)


class Exhausted(UserStopped):
    """A feed has no row left; ends the user, as finished, unless it catches this.

    Attributes:
        feed: The feed's name.
    """

    def __init__(self, feed: str) -> None:
        super().__init__(f"feed {feed} has no row left")
        self.feed = feed

    def is_meant(self) -> bool:
        """Whether it is a user that ends."""
        return isinstance(getcurrent(), User)

    def has_ended_user(self) -> None:
        """Count a user that was stopped by the feed."""
        optional.counter(metric_name(self.feed, STOPPED)).inc()


class Feed:
    """Hands out rows.

    Attributes:
        name: What it is called in the whole run.
    """

    def __init__(self, name: str, rows: Rows, at_end: str, order: str, share: str) -> None:
        self.name = name
        self._source = rows
        self._at_end = at_end
        self._order = order
        self._share = share
        self._used = optional.counter(metric_name(name, USED))
        if order == "unique" and at_end == "stop":
            optional.counter(metric_name(name, STOPPED))  # a threshold finds it where it stays 0

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self._source)

    def __repr__(self) -> str:
        return f"feed {self.name}: {counted(len(self), 'row')}, {self._order}, by {self._share}"

    @property
    def is_dealt_once(self) -> bool:
        """Whether each row is handed out once over the whole run."""
        return False

    @property
    def declaration(self) -> tuple[object, ...]:
        """What the controller is told of it: name, order, share, rows, whether it wraps."""
        return self.name, self._order, self._share, len(self), not self.is_dealt_once

    @abstractmethod
    def next(self) -> Any:
        """A row for the calling user: of a file, a dictionary by the names of its fields.

        It waits while the run is paused, and for rows of the controller, a few milliseconds, where
        none are in hand.

        Raises:
            Exhausted: No row is left.
            ScenarioError: No row is left, and that is to fail the iteration; the caller is a
                handler of the event loop, and none is in hand; or there are no users here, as in
                init().
            UserStopped: The user was asked to stop while it waited.
            PeerError: The controller has not dealt any for long.
        """

    def _row(self, number: int) -> Any:
        self._used.inc()
        return self._source.row(number)

    def _end(self) -> NoReturn:
        """No row is left."""
        if self._at_end == "fail":
            raise ScenarioError(
                f"feed {self.name} has no row left of {len(self._source):,} (at_end is fail)"
            )
        raise Exhausted(self.name)


class Supply(Protocol):
    """Where a process gets the numbers of rows from."""

    def take(self) -> tuple[int, int]:
        """The first of some numbers and how many follow each other from it; 0 at the end."""


class DealtFeed(Feed):
    """Rows are handed out one after the other, over the whole run.

    Attributes:
        supply: Where the numbers of rows come from; made at the first use outside a run.
    """

    def __init__(self, name: str, rows: Rows, at_end: str, order: str) -> None:
        super().__init__(name, rows, at_end, order, "run")
        self.supply: Supply | None = None
        self._ready: list[Any] = []  # the next row is the last
        self._ready_end = 0

    @property
    def is_dealt_once(self) -> bool:
        """Whether each row is handed out once over the whole run."""
        return self._order == "unique"

    def next(self) -> Any:
        """See `Feed`."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        ready = self._ready
        if ready:
            self._used.inc()
            return ready.pop()
        return self._next_block()

    def _next_block(self) -> Any:
        context.find(DealtFeed)  # which raises in a process that a user has forked
        supply = self.supply or self._local()
        first, count = supply.take()
        if not count:
            self._end()
        # Nothing switches from here on, so what is ready stays what it was.
        rows: list[Any] = []
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
        """The numbers of the rows that are ready: the first, and how many; perhaps no longer."""
        count = len(self._ready)
        if forget:
            self._ready = []
        return self._ready_end - count, count

    def _local(self) -> Supply:
        if context.active().process or is_before_users(context.find(rpc.Handler)):
            raise ScenarioError(
                f"feed {self.name}: next() is for users of a run, and not for init(), terminate()"
                " or a module's top level"
            )
        self.supply = LocalSupply(len(self._source), not self.is_dealt_once)
        return self.supply


class LocalSupply:
    """All numbers, one after the other: outside a run, in a test of a scenario say."""

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


class UserFeed(Feed):
    """Each user reads all rows by itself, in their order."""

    def next(self) -> Any:
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


class RandomFeed(Feed):
    """Rows are drawn, each time from all of them, by the calling user's own generator."""

    def next(self) -> Any:
        """See `Feed`."""
        if pause.clock.since_ns:
            pause.wait_resumed()
        me = owner_of(getcurrent())
        draw = me.random.random if me is not None else random.random
        return self._row(int(draw() * len(self._source)))
