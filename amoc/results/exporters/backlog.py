"""Buffers for a backend that may be unreachable or slow. Pure.

Only a few points wait to be processed: beyond that the oldest is dropped, and its counts are added
to the next one.

Chunks, which are made from points, are sent in order. Their total size is limited: beyond that the
oldest chunks are dropped and counted. When a connection breaks, it is unknown how much of the last
chunks the other end has read; so as many as may be in flight are kept, and sent again before all
others. With a backend where a repeated value overwrites itself, such as Graphite, nothing is lost
that way, and nothing is counted twice.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.results.counts import joined
from amoc.results.series import Point

MAX_POINTS = 30


class Chunk(NamedTuple):
    """Data delivered as a unit."""

    data: bytes
    sent: bool
    """Whether it was sent before, over a connection that broke; it may have arrived."""


class Missing(NamedTuple):
    """The number of chunks or points that have not arrived."""

    lost: int
    """Certainly lost."""
    doubtful: int
    """Possibly lost: sent over a connection that broke, or sent in part."""


class PointBacklog:
    """Points waiting to be formatted.

    A point that failed may have been sent in part, so it is not retried.
    """

    def __init__(self) -> None:
        self._waiting: deque[Point] = deque()
        self._out: Point | None = None
        self._lost = 0

    def put(self, point: Point) -> None:
        """Add a point; when full, the oldest is dropped and its counts are added to the next."""
        if len(self._waiting) == MAX_POINTS:
            oldest = self._waiting.popleft()
            self._waiting[0] = joined((oldest, self._waiting[0]))
            self._lost += 1
        self._waiting.append(point)

    def take(self) -> Point | None:
        """Return the next point, which is in progress from now on; None when none waits."""
        if self._out is None and self._waiting:
            self._out = self._waiting.popleft()
        return self._out

    def done(self) -> None:
        """Remove the point in progress: it is done."""
        self._out = None

    def refused(self) -> None:
        """Remove the point in progress: it is lost."""
        self._lost += self._out is not None
        self._out = None

    def again(self) -> bool:
        """Remove the point in progress: it is lost, and not retried."""
        self.refused()
        return False

    def missing(self) -> Missing:
        """Return how many points were dropped, failed, or are not done."""
        return Missing(0, self._lost + len(self._waiting) + (self._out is not None))


class ChunkBacklog:
    """Chunks waiting to be delivered.

    Attributes:
        sent: The chunks sent last, which may have to be sent again.
    """

    def __init__(self, most_bytes: int, repeat_bytes: int = 0) -> None:
        """Start empty.

        Args:
            most_bytes: Maximum size of waiting chunks.
            repeat_bytes: How much may be in flight when a connection breaks: at least this much of
                what was sent last is sent again.
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
        """Return how many chunks wait or are in progress."""
        return len(self._waiting) + (self._out is not None)

    def put(self, data: bytes) -> None:
        """Add a chunk; the oldest are dropped if there is no room."""
        self._waiting.append(Chunk(data, False))
        self._bytes += len(data)
        self._cut()

    def take(self) -> bytes | None:
        """Return the next chunk, which is in progress from now on; None when none waits."""
        if self._out is None and self._waiting:
            self._out = self._waiting.popleft()
            self._bytes -= len(self._out.data)
        return self._out.data if self._out is not None else None

    def done(self) -> None:
        """Remove the chunk in progress: it has been sent."""
        if self._out is None:
            return
        data, self._out = self._out.data, None
        self.sent.append(data)
        self._sent_bytes += len(data)
        while self.sent and self._sent_bytes - len(self.sent[0]) >= self._repeat_bytes:
            self._sent_bytes -= len(self.sent.popleft())

    def refused(self) -> None:
        """Remove the chunk in progress: it was rejected."""
        if self._out is not None:
            self._lose(self._out)
            self._out = None

    def again(self) -> bool:
        """Queue the chunk in progress and those sent last again: the connection is lost."""
        if self._out is not None:
            self._put_first(self._out)
            self._out = None
        while self.sent:
            self._put_first(Chunk(self.sent.pop(), True))
        self._sent_bytes = 0
        self._cut()
        return True

    def drop(self, number: int) -> None:
        """Count this many chunks as lost that were never added."""
        self._lost += number

    def missing(self) -> Missing:
        """Return what has not arrived, if nothing more is delivered."""
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
