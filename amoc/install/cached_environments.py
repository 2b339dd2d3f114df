"""The environments in the cache: which of them are in use, and what is taken out of it.

A process that uses an environment holds a shared lock on a file in it until it ends; so do the
processes that it has forked. Who takes an environment out of the cache must have that lock alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from amoc.base.text import counted
from amoc.install import cache
from amoc.install.pruning import Cached, to_prune

RESOLVED = "resolved.txt"
"""What an environment was resolved to. It is written last, and locked by who uses it."""
LEFT_S = 86_400.0
"""What a process has left that was killed while it built or removed an environment goes then."""
_held: list[IO[str]] = []


def directory() -> Path:
    """Where they are.

    Raises:
        ResourceError: It cannot be told.
    """
    return cache.directory("environments")


def use(place: Path) -> bool:
    """Use an environment until this process ends; False if it is not there."""
    path = place / RESOLVED
    try:
        file = path.open()
    except OSError:
        return False
    if not _locked(file, fcntl.LOCK_SH) or not _is(path, file):  # it is being removed
        file.close()
        return False
    with suppress(OSError):  # a cache that cannot be written
        os.utime(path)
    _held.append(file)
    return True


def prune(tell: Callable[[str], object]) -> None:
    """Take out of the cache what is to go; `tell` gets a line about it."""
    base = directory()
    with ExitStack() as locks, suppress(OSError):
        places = [path.parent for path in base.glob(f"*/{RESOLVED}")]
        found = [locks.enter_context(_looked_at(place)) for place in places]
        gone = to_prune(found, time.time())
        for one in gone:
            _remove(base / one.name)
        if gone:
            size = sum(one.bytes for one in gone) / 1e6
            tell(f"removed {counted(len(gone), 'old environment')} of scenarios ({size:,.0f} MB)")
    for path in base.glob("*.made-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_S:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _looked_at(place: Path) -> Iterator[Cached]:
    """An environment, which nobody begins to use meanwhile unless it is in use already."""
    with (place / RESOLVED).open() as file:
        alone = _locked(file, fcntl.LOCK_EX)
        size = sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
        yield Cached(place.name, size, os.fstat(file.fileno()).st_mtime, in_use=not alone)


def _remove(place: Path) -> None:
    gone = place.with_name(f"{place.name}.made-{os.getpid()}")
    place.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is(path: Path, file: IO[str]) -> bool:
    """Whether a path still leads to an open file."""
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False
