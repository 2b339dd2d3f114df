"""How many connections were refused, and when that is worth a warning. Pure.

A connection that was accepted either gets through the handshake or is refused; which of the two is
known after `HANDSHAKE_NS` at the latest. ZeroMQ tells of some refusals at once, of others (a port
scan, a browser) only that the connection has gone. So what is counted is what was accepted that
long ago and has not come through; those of which it is told are counted at once.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.base.text import counted

HANDSHAKE_NS = 10 * S_NS
"""How long a handshake may take."""
AGAIN = 10
"""A warning is repeated once there are so many times as many."""


class Refused(NamedTuple):
    """What did not get in.

    Attributes:
        unknown_keys: Connections with a key that is not on the list.
        other: Connections that knew our key not, or did not speak CURVE.
        late: Messages of those who are not, or no longer, expected.
    """

    unknown_keys: int = 0
    other: int = 0
    late: int = 0

    def text(self) -> str:
        """What there was, for the operator."""
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
            parts.append(f"dropped {counted(self.late, 'message')} from nodes that were given up")
        return "; ".join(parts)


class Refusals:
    """Counts refusals at one or more sockets; times never go back."""

    def __init__(self) -> None:
        self._accepted: deque[int] = deque()
        self._decided = 0
        self._admitted = 0
        self._failed = 0
        self._unknown = 0
        self._refused = 0
        self._late = 0
        self._said = 0

    def accepted(self, now_ns: int) -> None:
        """A connection is there, and its handshake begins."""
        self._accepted.append(now_ns)

    def admitted(self) -> None:
        """A handshake has succeeded."""
        self._admitted += 1

    def failed(self, unknown_key: bool) -> None:
        """A handshake has failed."""
        self._failed += 1
        self._unknown += unknown_key

    def late(self) -> None:
        """A message has come of somebody who is not expected."""
        self._late += 1

    def seen(self, now_ns: int) -> Refused:
        """What was refused until now; no count ever falls."""
        while self._accepted and now_ns - self._accepted[0] >= HANDSHAKE_NS:
            self._accepted.popleft()
            self._decided += 1
        self._refused = max(self._refused, self._failed, self._decided - self._admitted)
        return Refused(self._unknown, self._refused - self._unknown, self._late)

    def news(self, now_ns: int) -> str:
        """What the operator is to be told now; empty if that is nothing new, or not enough."""
        refused = self.seen(now_ns)
        count = refused.unknown_keys + refused.other + refused.late
        if count < max(1, self._said * AGAIN):
            return ""
        self._said = count
        return refused.text()
