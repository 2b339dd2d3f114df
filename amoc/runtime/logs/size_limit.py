"""How much a log may take: bytes a second, and bytes in all. Pure.

A log that nobody reads while it grows must not fill the disk. Warnings and errors are folded and
few; they have a share of their own that other lines cannot use up.
"""

from __future__ import annotations

import logging

from amoc.base.clock import S_NS

PER_S = 1 << 20
"""Bytes a second, on average."""
BURST = 4 << 20
"""Bytes that may come at once."""
MOST = 64 << 20
"""Bytes of a file."""
SHARE = 4
"""A quarter of `BURST`, and a quarter of `MOST` on top of it, are for warnings and errors only."""


class Allowance:
    """Says whether a line may be written.

    Attributes:
        full: Whether the file has reached its size, so that only warnings and errors go in.
    """

    def __init__(self, used: int = 0) -> None:
        """Begin with a file of `used` bytes."""
        self.full = used >= MOST
        self._used = used
        self._left = float(BURST)
        self._at_ns = 0
        self._left_out = 0

    def admits(self, level: int, now_ns: int) -> bool:
        """Whether there is room for a line at `level`; one that there is none for is counted."""
        self._left = min(BURST, self._left + (now_ns - self._at_ns) * PER_S / S_NS)
        self._at_ns = now_ns
        grave = level >= logging.WARNING
        room = self._left > (0 if grave else BURST // SHARE)
        if room and self._used < (MOST + MOST // SHARE if grave else MOST):
            return True
        self._left_out += 1
        return False

    def charge(self, size: int) -> None:
        """A line of `size` bytes was written."""
        self._left -= size
        self._used += size
        self.full = self._used >= MOST

    def left_out(self) -> int:
        """How many lines were left out since this was asked last."""
        left_out, self._left_out = self._left_out, 0
        return left_out
