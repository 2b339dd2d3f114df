"""Unix sockets with a path that is longer than the kernel accepts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

MAX_SOCKET_PATH = 107
"""Bytes that the kernel accepts as the address of a Unix socket."""


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """An address of the socket `path` that the kernel accepts, however long the path is."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
