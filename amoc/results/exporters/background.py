"""Background work: items pass from a bounded backlog to a function, in a separate greenlet.

`put` never blocks, and only the first problem is reported. While the backend is unreachable, items
are retried after a pause that doubles up to 5 s. Rejected items are dropped, so that they do not
hold up the others. At the end, remaining items are processed until the deadline, without waiting
for a backend that is unreachable. Finally the number of lost items is reported.

A run of a thousand metrics produces several thousand values a second. They are formatted for two
milliseconds at a time (`in_turns`), with turns of the event loop in between: the controller has
users to deal and throttles to feed.
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
    """Waiting items, with a limit, and the handling of items that fail."""

    def put(self, item: T, /) -> None:
        """Add an item; others may be dropped."""

    def take(self) -> T | None:
        """Return the next item, which is in progress from now on; None when none waits."""

    def done(self) -> None:
        """Remove the item in progress: it has been processed."""

    def refused(self) -> None:
        """Remove the item in progress: it is lost."""

    def again(self) -> bool:
        """Handle a failure of the item in progress; return whether it will be retried."""

    def missing(self) -> Missing:
        """Return what would be missing if nothing more was processed."""


class BackgroundQueue(Generic[T]):
    """Processes items in order.

    Attributes:
        backlog: The waiting items.
    """

    def __init__(
        self,
        what: str,
        backlog: Backlog[T],
        work: Callable[[T], None],
        warn: Warn,
        unit: str = "point",
    ) -> None:
        """Start to wait for items.

        Args:
            what: The backend's name in messages.
            backlog: The waiting items.
            work: Called with each item; processes it within a deadline of its own. It raises
                OSError if the backend is unreachable; after any other error the item is dropped.
            warn: Called with the first problem, and at the end with how much was lost.
            unit: What an item is called.
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
        """Queue `item`."""
        self.backlog.put(item)
        self._news.set()

    def stop(self, deadline_s: float) -> None:
        """Process remaining items, for at most `deadline_s`."""
        self._end.set()
        self._news.set()
        self._greenlet.join(deadline_s)
        self._greenlet.kill()

    def close(self, deadline_s: float) -> bool:
        """Process remaining items, for at most `deadline_s`, and report what is missing.

        Returns:
            Whether nothing is known to be missing.
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
                # The first failure may only show that an old connection is gone.
                failed_at_end += 1
                if failed_at_end == TRIES_AT_END:
                    return

    def _next(self) -> T | None:
        """Return the next item, as soon as there is one; None at the end."""
        while (item := self.backlog.take()) is None:
            self._news.clear()
            if self._end.is_set():
                break
            self._news.wait()
        return item

    def _hand_over(self, item: T) -> bool:
        """Process an item; return whether the next one can follow at once."""
        try:
            self._work(item)
        except OSError as error:
            text = f"{self._what} does not accept data: {reason(error)}; the run continues"
            kept = self.backlog.again()
            self._say(f"{text}, and the latest {self._unit}s are kept" if kept else text)
            return not kept
        except Exception as error:  # a bug must not end the run
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
    """Yield `values`, with a turn of the event loop whenever making them takes long."""
    yield_if_due = PeriodicYield()
    for value in values:
        yield value
        yield_if_due()
