"""Work in the background: items go from a bounded backlog to a function, in a greenlet of its own.

`put` never blocks, and the first problem is reported. While the backend is away, items are retried
after a pause that doubles up to 5 s. What is rejected is dropped, so that it does not hold up the
others. At the end what is left is worked on until the deadline, but a backend that is away then is
not waited for. At last the number of lost items is reported.

A run of a thousand metrics is several thousand values a second. They are made for two milliseconds
at a time (`in_turns`), and in between the loop turns: the controller has users to deal and
throttles to feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

import gevent
from gevent.event import Event

from amoc.base.periodic_yield import PeriodicYield
from amoc.base.text import counted
from amoc.results.exporters.backlog import Missing
from amoc.results.exporters.base import Warn, reason

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
TRIES_AT_END = 2

T = TypeVar("T")


class RefusedError(Exception):
    """The backend rejected this item."""


class Backlog(Protocol[T]):
    """What waits, how much of it may, and what becomes of an item that was not taken."""

    def put(self, item: T, /) -> None:
        """Add an item; others may have to give way."""

    def take(self) -> T | None:
        """The next item, which is under way from now on; None when nothing waits."""

    def done(self) -> None:
        """What was under way has been handed over."""

    def refused(self) -> None:
        """What was under way is lost."""

    def again(self) -> bool:
        """What was under way could not be handed over; whether it waits to be tried again."""

    def missing(self) -> Missing:
        """What would be missing if nothing more was done."""


class BackgroundQueue(Generic[T]):
    """Works on items in order.

    Attributes:
        backlog: What waits.
    """

    def __init__(
        self,
        what: str,
        backlog: Backlog[T],
        work: Callable[[T], None],
        warn: Warn,
        unit: str = "point",
    ) -> None:
        """Begin to wait for items.

        Args:
            what: The backend, as messages call it.
            backlog: Where items wait.
            work: Gets each item, and hands it over within a deadline of its own. It raises OSError
                where the backend is away; after any other error the item is dropped.
            warn: Called with the first problem, and at the end with how much was lost.
            unit: What an item is.
        """
        self.backlog = backlog
        self._what = what
        self._work = work
        self._warn = warn
        self._unit = unit
        self._warned = False
        self._end = Event()
        self._news = Event()
        self._greenlet = gevent.spawn(self._run)

    def put(self, item: T) -> None:
        """Have `item` worked on."""
        self.backlog.put(item)
        self._news.set()

    def stop(self, deadline_s: float) -> None:
        """Work on what is left, for at most `deadline_s`."""
        self._end.set()
        self._news.set()
        self._greenlet.join(deadline_s)
        self._greenlet.kill()

    def close(self, deadline_s: float) -> bool:
        """Work on what is left, for at most `deadline_s`, and say what is missing.

        Returns:
            Whether nothing is known to be.
        """
        self.stop(deadline_s)
        lost, doubtful = self.backlog.missing()
        said = [f"{counted(lost, self._unit)} could not be delivered"] if lost else []
        if doubtful:
            said.append(f"{counted(doubtful, self._unit)} may not have been delivered")
        if said:
            self._warn(f"{self._what}: {', and '.join(said)}")
        return not said

    def _run(self) -> None:
        pause_s, failed_at_end = FIRST_PAUSE_S, 0
        while (item := self._next()) is not None:
            if self._hand_over(item):
                pause_s = FIRST_PAUSE_S
            elif not self._end.wait(pause_s):
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            else:
                # The first one may be the news that an old connection is gone.
                failed_at_end += 1
                if failed_at_end == TRIES_AT_END:
                    return

    def _next(self) -> T | None:
        """The next item, as soon as there is one; None at the end."""
        while (item := self.backlog.take()) is None:
            self._news.clear()
            if self._end.is_set():
                break
            self._news.wait()
        return item

    def _hand_over(self, item: T) -> bool:
        """Work on an item; whether the next one can follow at once."""
        try:
            self._work(item)
        except OSError as error:
            text = f"{self._what} does not accept data: {reason(error)}; the run continues"
            kept = self.backlog.again()
            self._say(f"{text}, and the latest {self._unit}s are kept" if kept else text)
            return not kept
        except Exception as error:  # a defect must not end the run
            self.backlog.refused()
            self._say(f"{self._what} rejected one of the {self._unit}s: {reason(error)}")
        else:
            self.backlog.done()
        return True

    def _say(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(text)


def in_turns(values: Iterable[T]) -> Iterator[T]:
    """`values`, with a turn of the loop where making them takes long."""
    yield_if_due = PeriodicYield()
    for value in values:
        yield value
        yield_if_due()
