"""What waits for a backend that may be away or slow. Pure.

Points that wait to be worked on are few: beyond that the oldest is dropped, and what it counted
goes with the next one.

Chunks, which are made of points, go out in order. What waits is bounded by bytes: beyond that the
oldest chunks are dropped and counted. When a connection breaks, it is unknown how much of the last
chunks the other end has read; so as many of them are kept as may be on the way, and sent again,
before all others. With a backend that overwrites a value with itself, such as Graphite, nothing is
lost by that, and nothing is counted twice.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.results.counts import joined
from amoc.results.series import Point

MAX_POINTS = 30


class Chunk(NamedTuple):
    """What is delivered as a whole."""

    data: bytes
    sent: bool
    """Whether it went out before, over a connection that broke; it may have arrived."""


class Missing(NamedTuple):
    """How many chunks or points have not arrived."""

    lost: int
    """That is certain of so many."""
    doubtful: int
    """Of so many more it is not known: they went out over a connection that broke, or in part."""


class PointBacklog:
    """Points that wait to be formatted.

    A point that failed may have got there in part, so it is not tried again.
    """

    def __init__(self) -> None:
        self._waiting: deque[Point] = deque()
        self._out: Point | None = None
        self._lost = 0

    def put(self, point: Point) -> None:
        """Add a point; when full, the oldest is dropped and its counts go to the next one."""
        if len(self._waiting) == MAX_POINTS:
            oldest = self._waiting.popleft()
            self._waiting[0] = joined((oldest, self._waiting[0]))
            self._lost += 1
        self._waiting.append(point)

    def take(self) -> Point | None:
        """The next point, which is under way from now on; None when nothing waits."""
        if self._out is None and self._waiting:
            self._out = self._waiting.popleft()
        return self._out

    def done(self) -> None:
        """The point that was taken is done."""
        self._out = None

    def refused(self) -> None:
        """The point that was taken is lost."""
        self._lost += self._out is not None
        self._out = None

    def again(self) -> bool:
        """The point that was taken is lost, and not tried again."""
        self.refused()
        return False

    def missing(self) -> Missing:
        """How many points were dropped, failed, or are not done."""
        return Missing(0, self._lost + len(self._waiting) + (self._out is not None))


class ChunkBacklog:
    """Chunks that wait to be delivered.

    Attributes:
        sent: What went out last, and may have to go once more.
    """

    def __init__(self, most_bytes: int, repeat_bytes: int = 0) -> None:
        """Hold what waits, and what went out last.

        Args:
            most_bytes: What may wait.
            repeat_bytes: How much may be on the way when a connection breaks: at least so much of
                what went out last is sent again.
        """
        self._lost = self._doubtful = 0
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: deque[Chunk] = deque()
        self._repeat_bytes = repeat_bytes
        self._sent_bytes = 0
        self.sent: deque[bytes] = deque()
        self._out: Chunk | None = None

    def __len__(self) -> int:
        """How many chunks wait or are under way."""
        return len(self._waiting) + (self._out is not None)

    def put(self, data: bytes) -> None:
        """Add a chunk; the oldest are dropped where there is no room."""
        self._waiting.append(Chunk(data, False))
        self._bytes += len(data)
        self._cut()

    def take(self) -> bytes | None:
        """The next chunk, which is under way from now on; None when nothing waits."""
        if self._out is None and self._waiting:
            self._out = self._waiting.popleft()
            self._bytes -= len(self._out.data)
        return self._out.data if self._out is not None else None

    def done(self) -> None:
        """What was under way has been handed over."""
        if self._out is None:
            return
        data, self._out = self._out.data, None
        self.sent.append(data)
        self._sent_bytes += len(data)
        while self.sent and self._sent_bytes - len(self.sent[0]) >= self._repeat_bytes:
            self._sent_bytes -= len(self.sent.popleft())

    def refused(self) -> None:
        """What was under way was rejected."""
        if self._out is not None:
            self._lose(self._out)
            self._out = None

    def again(self) -> bool:
        """The connection is gone: what was under way and what went out last waits again."""
        if self._out is not None:
            self._put_first(self._out)
            self._out = None
        while self.sent:
            self._put_first(Chunk(self.sent.pop(), True))
        self._sent_bytes = 0
        self._cut()
        return True

    def drop(self, number: int) -> None:
        """So many chunks are lost that were never added."""
        self._lost += number

    def missing(self) -> Missing:
        """What has not arrived, if nothing more is delivered."""
        left = [*self._waiting, *([self._out] if self._out is not None else [])]
        doubtful = sum(chunk.sent for chunk in left)
        return Missing(self._lost + len(left) - doubtful, self._doubtful + doubtful)

    def _put_first(self, chunk: Chunk) -> None:
        self._waiting.appendleft(chunk)
        self._bytes += len(chunk.data)

    def _cut(self) -> None:
        while self._bytes > self._most_bytes:
            chunk = self._waiting.popleft()
            self._bytes -= len(chunk.data)
            self._lose(chunk)

    def _lose(self, chunk: Chunk) -> None:
        self._lost += not chunk.sent
        self._doubtful += chunk.sent
