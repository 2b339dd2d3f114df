"""Counts of refused connections, and when they call for a warning. Pure.

An accepted connection either completes the handshake or is refused, within `HANDSHAKE_NS`. ZeroMQ
reports some refusals at once, but for others (a port scan, a browser) only that the connection was
closed. So reported refusals are counted at once; the rest are connections accepted at least that
long ago that have not completed the handshake.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.base.text import counted

HANDSHAKE_NS = 10 * S_NS
"""Timeout of a handshake."""
REPEAT_FACTOR = 10
"""A warning is repeated once the count has grown by this factor."""


class Refused(NamedTuple):
    """Counts of what was refused.

    Attributes:
        unknown_keys: Connections with a key that is not on the list.
        other: Connections that did not know the server's key, or did not use CURVE.
        late: Messages of senders that are not, or no longer, expected.
    """

    unknown_keys: int = 0
    other: int = 0
    late: int = 0

    def text(self) -> str:
        """Return a summary for the operator."""
        connections = self.unknown_keys + self.other
        parts = []
        if connections:
            part = f"refused {counted(connections, 'connection')}"
            if self.unknown_keys:
                part += f", {self.unknown_keys:,} with a key that does not belong to this run"
            if self.other:
                part += f", {self.other:,} that did not know the run's key (a port scan?)"
            parts.append(part)
        if self.late:
            parts.append(f"dropped {counted(self.late, 'message')} from lost nodes")
        return "; ".join(parts)


class Refusals:
    """Counts refusals at one or more sockets; times must not decrease."""

    def __init__(self) -> None:
        self._accepted: deque[int] = deque()
        self._decided = 0
        self._admitted = 0
        self._failed = 0
        self._unknown = 0
        self._refused = 0
        self._late = 0
        self._warned = 0

    def accepted(self, now_ns: int) -> None:
        """Count an accepted connection, whose handshake begins."""
        self._accepted.append(now_ns)

    def admitted(self) -> None:
        """Count a successful handshake."""
        self._admitted += 1

    def failed(self, unknown_key: bool) -> None:
        """Count a failed handshake."""
        self._failed += 1
        self._unknown += unknown_key

    def late(self) -> None:
        """Count a message of an unexpected sender."""
        self._late += 1

    def seen(self, now_ns: int) -> Refused:
        """Return what has been refused so far; counts never decrease."""
        while self._accepted and now_ns - self._accepted[0] >= HANDSHAKE_NS:
            self._accepted.popleft()
            self._decided += 1
        self._refused = max(self._refused, self._failed, self._decided - self._admitted)
        return Refused(self._unknown, self._refused - self._unknown, self._late)

    def news(self, now_ns: int) -> str:
        """Return a warning for the operator; empty if there is too little news."""
        refused = self.seen(now_ns)
        count = refused.unknown_keys + refused.other + refused.late
        if count < max(1, self._warned * REPEAT_FACTOR):
            return ""
        self._warned = count
        return refused.text()
