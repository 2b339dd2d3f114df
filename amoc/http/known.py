"""Pure. Cache of response heads, so that responses with a known head need no parser.

A server that answers thousands of requests per second repeats the same head until its Date changes.
The head alone determines where a response ends. So a response that arrives in one piece, with a
head that was parsed before, is read by a comparison, in a tenth of the time of parsing.

If every head is different, because of a request id for example, looking them up is a waste. So each
hit pays for some more lookups, and when the credit is used up there are few until the next hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amoc.http.headers import Headers

EMPTY: Final = b"\r\n\r\n"
"""The end of a head."""
MAX_KNOWN: Final = 256
"""Maximum number of heads per worker; if there are more, all are forgotten."""
MAX_KNOWN_BYTES: Final = 2048
CREDIT: Final = 256
"""Number of misses after which lookups stop for a while."""
PAID: Final = 3
"""Number of misses that a hit makes up for."""
REST: Final = 1000
"""Number of responses to skip when lookups stop."""
TRIES: Final = 8
"""Credit after such a pause."""


@dataclass(slots=True)
class Known:
    """A response whose head was parsed before."""

    start: bytes
    """The head, including the empty line."""
    head: bytes
    size: int
    """Size of the whole response in bytes."""
    status: int
    front: slice
    """Where the head is, including the empty line."""
    body: slice
    """Where the body is."""
    heeded: Headers | None
    """The headers, if there is one among them that amoc itself acts on."""


class KnownHeads:
    """The known heads of a worker.

    Attributes:
        rest: Number of responses still to skip; the caller counts it down.
    """

    __slots__ = ("_credit", "_known", "rest")

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._credit = CREDIT
        self.rest = 0

    def find(self, data: bytes, is_paid: bool) -> Known | None:
        """Return the known response that `data` is, if its head was parsed before.

        Args:
            data: The bytes received so far.
            is_paid: Whether the previous response was a hit, so that a miss costs no credit.
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
        """Remember a head. The arguments are fields of `Known`."""
        if len(head) <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            start = head + EMPTY
            self._known[start] = Known(
                start, head, size, status, slice(len(start)), slice(len(start), None), heeded
            )
