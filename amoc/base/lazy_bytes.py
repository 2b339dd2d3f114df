"""Large arrays of bytes that take up memory only where they are written. Pure."""

from __future__ import annotations

import mmap

MAP_NORESERVE = 0x4000  # Linux; the mmap module names it only from Python 3.13 on


def lazy_bytes(size: int) -> mmap.mmap:
    """Return `size` zeros, private to this process; `size` may exceed the available memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return mmap.mmap(-1, size, flags=flags)
