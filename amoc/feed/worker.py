"""A worker's end of feeds: its reserve of rows, and users that wait for rows.

Users take rows from the reserve without a message. When it runs low, the worker asks for the next
block. When it is empty, users wait in FIFO order, and rows that arrive go to them first. The
request is repeated every second while users wait, in case a message was lost.

When no row is left for waiting users of another worker, the controller asks for the reserve, and
the worker returns all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.waiting import Waiter, wait
from amoc.feed.feed import ROWS, DealtFeed, Feed, metric_name
from amoc.feed.reserve import Reserve
from amoc.ipc.messages import feed as messages
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.area import Merge

WAIT_S = 30.0
"""Timeout of a user that waits for a row."""
REMIND_S = 1.0
_NONE_LEFT = -1


class WorkerSupply:
    """A worker's supply of the rows of one feed."""

    def __init__(
        self,
        feed: DealtFeed[object],
        send: Callable[[messages.FeedToController], None],
        at_flush: Callable[[Callable[[], None]], None],
    ) -> None:
        """Supply `feed`.

        Args:
            feed: The feed.
            send: Queues a message to the controller.
            at_flush: Schedules a call for right before messages are sent.
        """
        self._feed = feed
        self._send = send
        self._at_flush = at_flush
        self._reserve = Reserve()
        self._waiting: dict[Waiter[int], None] = {}
        self._received = 0
        self._asked = self._ended = False

    def take(self) -> tuple[int, int]:
        """Take the next numbers, waiting if there are none; see `amoc.feed.feed.Supply`."""
        if len(self._reserve):
            taken = self._reserve.take(self._reserve.chunk())
            if self._reserve.is_low and not (self._asked or self._ended):
                self._ask()
            return taken
        return (0, 0) if self._ended else self._wait()

    def _wait(self) -> tuple[int, int]:
        waiter: Waiter[int] = Waiter()
        self._waiting[waiter] = None
        until_ns = pause.clock.run_ns() + int(WAIT_S * S_NS)
        number = None
        try:
            self._ask()
            while not wait(waiter, REMIND_S):
                if pause.clock.run_ns() >= until_ns:
                    raise PeerError(
                        f"feed {self._feed.name}: no row arrived within {WAIT_S:g} s; the"
                        " controller, or a worker that holds rows, does not answer"
                    )
                self._ask()
            number = waiter.value
        finally:
            self._waiting.pop(waiter, None)
            missed = waiter.value if number is None else None
            if missed is not None and missed != _NONE_LEFT:
                self._hand_out(missed, 1)  # to another user: this one was killed before it woke
        return (0, 0) if number is None or number == _NONE_LEFT else (number, 1)

    def _ask(self) -> None:
        self._asked = True
        self._at_flush(self._tell)

    def _tell(self) -> None:
        _, ready = self._feed.unread()
        self._send(
            messages.FeedWant(
                self._feed.name,
                len(self._waiting),
                self._reserve.wants(now_ns()),
                len(self._reserve) + ready,
                self._received,
            )
        )

    def rows(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take rows that have arrived."""
        self._asked = self._ended = False
        for first, count in ranges:
            self._received += count
            self._hand_out(first, count)
        if self._waiting:
            self._ask()

    def _hand_out(self, first: int, count: int) -> None:
        """Give rows to waiting users, and keep the rest in reserve."""
        # Skip users that were interrupted but have not run since: they no longer take a row.
        waiting = [one for one in self._waiting if not one.done][:count]
        for at, waiter in enumerate(waiting):
            self._serve(waiter, first + at)
        if rest := count - len(waiting):
            self._reserve.put(first + len(waiting), rest)

    def _serve(self, waiter: Waiter[int], number: int) -> None:
        del self._waiting[waiter]
        waiter.set(number)
        waiter.wake()

    def ended(self) -> None:
        """Wake all waiting users without a row: the feed has ended."""
        self._asked, self._ended = False, True
        for waiter in list(self._waiting):
            self._serve(waiter, _NONE_LEFT)

    def give_back(self) -> None:
        """Return all unused rows to the controller."""
        self._reserve.put(*self._feed.unread(forget=True))
        self._send(messages.FeedReturned(self._feed.name, self._reserve.take_all(), self._received))


class WorkerFeeds:
    """All feeds of a worker."""

    def __init__(self, worker: WorkerId, outbox: Outbox, feeds: Iterable[Feed[object]]) -> None:
        """Supply those of `feeds` that the controller deals."""

        def send(message: messages.FeedToController) -> None:
            outbox.put(Part.FEED, worker, messages.FEED_TO_CONTROLLER.pack(message))

        self._supplies: dict[str, WorkerSupply] = {}
        for feed in feeds:
            if isinstance(feed, DealtFeed):
                supply = WorkerSupply(feed, send, outbox.at_flush)
                feed.supply = self._supplies[feed.name] = supply
                if feed.is_dealt_once:
                    name = metric_name(feed.name, ROWS)
                    metrics.built_in(metrics.Gauge, name, Merge.MAX).set(len(feed))

    def handle(self, body: bytes | memoryview) -> None:
        """Handle an envelope from the controller."""
        for record in messages.FEED_TO_WORKER.unpack_stream(body):
            supply = self._supplies[record.feed]
            match record:
                case messages.FeedRows(_, ranges):
                    supply.rows(ranges)
                case messages.FeedRecall():
                    supply.give_back()
                case messages.FeedEnded():
                    supply.ended()
