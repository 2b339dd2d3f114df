"""Uploaded files of scenarios, with an immutable directory for each upload.

A directory is named after the digest of the upload, below a directory that lists of scenarios do
not show. A scenario uploaded under a name is a link to one. So a run, or its repetition, finds its
files as they were when it started, whatever is uploaded in the meantime. Files are kept while a
name links to them, while a run that used them exists, and for an hour after they were uploaded or
replaced. All together may take `MAX_BYTES`. Uploads beyond that are refused, as everything that is
stored is still needed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from amoc.scenario.scenario_files import parts_of

NAME = "_sent"
FRESH_S = 3_600.0
"""How long to keep files that no run uses, as a run may be about to start."""
MAX_BYTES = 4 << 30
_PAGE = 4096
"""Files use disk space in multiples of this."""
_DIGITS = 32


def place_of(uploads: Path, digest: str) -> Path:
    """Return the directory of an upload."""
    return uploads / NAME / digest[:_DIGITS]


def use(place: Path) -> bool:
    """Mark the files as recently used. Return whether they exist."""
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


@lru_cache(maxsize=10_000)  # uploads never change
def size_of(place: Path) -> int:
    """Return the disk space that the files take, in bytes."""
    files = (one.stat() for one in place.rglob("*") if one.is_file())
    return sum(-(-one.st_size // _PAGE) * _PAGE for one in files)


def total(uploads: Path) -> int:
    """Return the disk space of all uploads, in bytes."""
    return sum(map(size_of, (uploads / NAME).iterdir()))


def links(uploads: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names of uploaded scenarios, each with the directory of its files."""
    try:
        found = sorted(one for one in uploads.iterdir() if one.is_symlink())
    except FileNotFoundError:
        return
    for one in found:
        place = one.resolve()
        if place.parent == (uploads / NAME).resolve():
            yield one.name, place


def tidy(uploads: Path, used: Callable[[], Iterable[str]]) -> None:
    """Delete files that no name links to and no run uses.

    Args:
        uploads: Directory of uploads.
        used: Returns the scenarios of all runs, as in their plans or as the server names them.
    """
    try:
        old = [
            one for one in (uploads / NAME).iterdir() if time.time() - one.stat().st_mtime > FRESH_S
        ]
    except FileNotFoundError:
        return
    if not old:
        return
    needed = {digest for scenario in used() for digest in _digests(scenario)}
    needed |= {place.name for _, place in links(uploads)}
    for one in old:
        if one.name not in needed:
            shutil.rmtree(one, ignore_errors=True)


def _digests(scenario: str) -> Iterable[str]:
    """Yield the names of the directories that hold a scenario, or several."""
    for source in [one.source for one in parts_of(scenario)] or [scenario]:
        parts = Path(source).parts
        if NAME in parts[:-1]:
            yield parts[parts.index(NAME) + 1]
