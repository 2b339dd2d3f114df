"""Pure. Answers whose heads were read before, so that they need no parser.

A server that answers thousands of requests a second says the same head again and again, until its
clock goes on. Where an answer ends is said by its head and by nothing else: one that has come as a
whole, and whose head was read before, is read by a comparison, which takes a tenth of the time.

Where no two heads are alike, with a number of each answer's own say, to look for them is in vain.
So a find pays for some more searches, and where none is left there are few until one finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amoc.http.headers import Headers

EMPTY: Final = b"\r\n\r\n"
"""What ends a head."""
MAX_KNOWN: Final = 256
"""Heads that a worker remembers; where there are more, all are forgotten."""
MAX_KNOWN_BYTES: Final = 2048
CREDIT: Final = 256
"""Searches in vain, one after another, until it is given up for a while."""
PAID: Final = 3
"""Searches in vain that a find makes up for."""
REST: Final = 1000
"""Answers that are not looked for then."""
TRIES: Final = 8
"""Searches that come after that."""


@dataclass(slots=True)
class Known:
    """An answer whose head was read before."""

    start: bytes
    """Its head, and the empty line."""
    head: bytes
    size: int
    """Bytes of all of it."""
    status: int
    begin: int
    """Where its body begins."""
    heeded: Headers | None
    """Its headers, if any of them matters whatever the scenario asks for."""


class KnownHeads:
    """Those of a worker.

    Attributes:
        rest: Answers that are not to be looked for; who comes by counts them down.
    """

    __slots__ = ("_credit", "_known", "rest")

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._credit = CREDIT
        self.rest = 0

    def find(self, data: bytes, is_paid: bool) -> Known | None:
        """What `data` is known by, if it is an answer whose head was read before.

        Args:
            data: What has come of it.
            is_paid: Whether the answer before it was known.
        """
        known = self._known.get(data[: data.find(EMPTY) + len(EMPTY)])
        if known is not None and known.size == len(data):
            self._credit = min(self._credit + PAID, CREDIT)
            return known
        if not is_paid:
            self._credit -= 1
            if not self._credit:
                self._credit, self.rest = TRIES, REST
        return None

    def learn(self, head: bytes, size: int, status: int, heeded: Headers | None) -> None:
        """Know answers by a head from now on; see `Known`."""
        if len(head) <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            start = head + EMPTY
            self._known[start] = Known(start, head, size, status, len(start), heeded)
