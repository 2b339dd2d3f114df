"""What clients have sent: the files of scenarios, each sending in a directory of its own.

It is called by the digest of what was sent, below a directory whose name no list of scenarios
shows, and never changed. A scenario that was uploaded under a name is a link to it. So a run finds
its files as they were when it began, whatever is uploaded meanwhile, and so does whoever repeats
it: they are kept for as long as a name leads to them, or a run is that was made from them, and for
an hour after they were sent or replaced. All together may take `MAX_BYTES`; what is beyond is
refused, for all that is there is still needed.
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
"""How long those are kept that no run has used: one may be about to start."""
MAX_BYTES = 4 << 30
_PAGE = 4096
"""What a file takes of the disk is a multiple of this."""
_DIGITS = 32


def place_of(uploads: Path, digest: str) -> Path:
    """Where the files of an archive are."""
    return uploads / NAME / digest[:_DIGITS]


def use(place: Path) -> bool:
    """Whether the files are there; then they are as good as sent now."""
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


@lru_cache(maxsize=10_000)  # what is there is never changed
def size_of(place: Path) -> int:
    """How many bytes the files there take."""
    files = (one.stat() for one in place.rglob("*") if one.is_file())
    return sum(-(-one.st_size // _PAGE) * _PAGE for one in files)


def total(uploads: Path) -> int:
    """How many bytes all of them take."""
    return sum(map(size_of, (uploads / NAME).iterdir()))


def links(uploads: Path) -> Iterator[tuple[str, Path]]:
    """The names of scenarios that were uploaded, each with the directory of its files."""
    try:
        found = sorted(one for one in uploads.iterdir() if one.is_symlink())
    except FileNotFoundError:
        return
    for one in found:
        place = one.resolve()
        if place.parent == (uploads / NAME).resolve():
            yield one.name, place


def tidy(uploads: Path, used: Callable[[], Iterable[str]]) -> None:
    """Remove what no name leads to, and no run has to do with.

    Args:
        uploads: Where uploads are.
        used: Tells the scenarios of all runs, as in their plans or as the server calls them.
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
    """What the directories are called that a scenario, or several, are in."""
    for source in [one.source for one in parts_of(scenario)] or [scenario]:
        parts = Path(source).parts
        if NAME in parts[:-1]:
            yield parts[parts.index(NAME) + 1]
