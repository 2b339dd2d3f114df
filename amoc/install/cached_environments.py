"""The cached environments: which of them are in use, and which are removed.

A process that uses an environment holds a shared lock on a file in it until it ends, and so do the
processes forked from it. Removing an environment requires an exclusive lock, which is held only
while the directory is renamed, so a process that starts to use an environment waits for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from amoc.base import user_cache
from amoc.base.polling import poll
from amoc.base.text import counted
from amoc.install.pruning import Cached, to_prune

RESOLVED = "resolved.txt"
"""What an environment was resolved to. It is written last, and locked by its users."""
LEFT_S = 86_400.0
"""Age at which the remains of a process killed while building or removing one are deleted."""
REMOVAL_S = 30.0
"""How long another process may take to inspect an environment or remove it from the cache."""
LOOK_S = 0.01
_held: list[IO[str]] = []


def directory() -> Path:
    """Return the directory of the cache.

    Raises:
        ResourceError: It cannot be determined.
    """
    return user_cache.directory("environments")


def use(place: Path) -> bool:
    """Use an environment until this process ends; return False if it does not exist."""
    path = place / RESOLVED
    try:
        file = path.open()
    except OSError:
        return False
    try:
        has_lock = poll(lambda: locked(file, fcntl.LOCK_SH), REMOVAL_S, LOOK_S)
    except OSError:  # a file system without locks
        has_lock = False
    if not has_lock or not _is(path, file):  # it was removed
        file.close()
        return False
    with suppress(OSError):  # a cache that cannot be written
        os.utime(path)
    _held.append(file)
    return True


def prune(tell: Callable[[str], object]) -> None:
    """Remove old environments from the cache; `tell` is called with a line about it."""
    base = directory()
    places = [path.parent for path in base.glob(f"*/{RESOLVED}")]
    found = [one for one in map(_inspected, places) if one is not None]
    gone = [one for one in to_prune(found, time.time()) if _removed(base / one.name, one.used_s)]
    if gone:
        size = sum(one.bytes for one in gone) / 1e6
        tell(f"removed {counted(len(gone), 'old environment')} of scenarios ({size:,.0f} MB)")
    for path in base.glob("*.made-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_S:
                shutil.rmtree(path, ignore_errors=True)


def _inspected(place: Path) -> Cached | None:
    """Return the state of an environment; None if another process has just removed it."""
    try:
        size = sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
        with (place / RESOLVED).open() as file:
            used_s = os.fstat(file.fileno()).st_mtime
            return Cached(place.name, size, used_s, in_use=not locked(file, fcntl.LOCK_EX))
    except OSError:
        return None


def _removed(place: Path, used_s: float) -> bool:
    """Remove an environment unless it was used after `used_s`; return whether it was removed."""
    gone = place.with_name(f"{place.name}.made-{os.getpid()}")
    try:
        with (place / RESOLVED).open() as file:
            if not locked(file, fcntl.LOCK_EX) or os.fstat(file.fileno()).st_mtime != used_s:
                return False
            place.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def locked(file: IO[str], kind: int) -> bool:
    """Take a lock on an open file, unless others have it; return whether it was taken.

    Raises:
        OSError: The file system has no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, file: IO[str]) -> bool:
    """Return whether a path still refers to an open file."""
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False
