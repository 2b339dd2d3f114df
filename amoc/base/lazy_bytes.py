"""Memory of a byte for each id, which takes what is written to and no more. Pure."""

from __future__ import annotations

import mmap

MAP_NORESERVE = 0x4000  # Linux; the mmap module names it only from Python 3.13 on


def lazy_bytes(size: int) -> mmap.mmap:
    """So many zeros, of this process alone; `size` may be larger than the memory there is."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return mmap.mmap(-1, size, flags=flags)
