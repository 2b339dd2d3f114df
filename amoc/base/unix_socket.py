"""Unix sockets with paths longer than the kernel's limit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

MAX_SOCKET_PATH = 107
"""Maximum length of the address of a Unix socket, in bytes."""


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Return an address of the socket `path` within the kernel's limit, as a context."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
