"""What waits for a backend that may be away. Pure.

Chunks go out in order. What waits is bounded by bytes: beyond that the oldest chunks are dropped
and counted. When a connection breaks, nobody knows what the other end has read of the last chunks;
so a few of them are kept and go out again, before all others. For a backend to which the same
chunk twice is one, as to Graphite, nothing is lost by that, and nothing is counted twice.
"""

from __future__ import annotations

from collections import deque


class Backlog:
    """Chunks that are to be delivered.

    Attributes:
        lost: Chunks that were dropped or refused.
    """

    def __init__(self, most_bytes: int, repeat: int = 0) -> None:
        """Hold at most `most_bytes`; repeat the last `repeat` chunks when a connection breaks."""
        self.lost = 0
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: deque[bytes] = deque()
        self._sent: deque[bytes] = deque(maxlen=repeat)
        self._out: bytes | None = None

    def __len__(self) -> int:
        """How many chunks wait or are under way."""
        return len(self._waiting) + (self._out is not None)

    def put(self, chunk: bytes) -> None:
        """Add a chunk; the oldest are dropped where there is no room."""
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        self._cut()

    def take(self) -> bytes | None:
        """The next chunk, which is under way from now on; None when nothing waits."""
        if self._out is None and self._waiting:
            self._out = self._waiting.popleft()
            self._bytes -= len(self._out)
        return self._out

    def done(self) -> None:
        """What was under way has been handed over."""
        if self._out is not None:
            self._sent.append(self._out)
            self._out = None

    def refused(self) -> None:
        """What was under way is not wanted."""
        self.lost += self._out is not None
        self._out = None

    def again(self) -> None:
        """The connection is gone: what was under way and what went out last waits again."""
        if self._out is not None:
            self._sent_first(self._out)
            self._out = None
        while self._sent:
            self._sent_first(self._sent.pop())
        self._cut()

    def _sent_first(self, chunk: bytes) -> None:
        self._waiting.appendleft(chunk)
        self._bytes += len(chunk)

    def _cut(self) -> None:
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._waiting.popleft())
            self.lost += 1
