"""Scenarios that are sent for a run with their files, and are none of the server's own.

The files of an archive have a directory that is called by its digest, below one whose name no list
of scenarios shows. There a run finds its scenario, and so does whoever repeats it: they are kept
for as long as a run is that was made from them, and for an hour after they were sent.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from amoc.scenario.scenario_files import parts_of

NAME = "_sent"
FRESH_S = 3_600.0
"""How long those are kept that no run has used: one may be about to start."""
_DIGITS = 16


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


def tidy(uploads: Path, used: Callable[[], Iterable[str]]) -> None:
    """Remove what no run has to do with.

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
    for one in old:
        if one.name not in needed:
            shutil.rmtree(one, ignore_errors=True)


def _digests(scenario: str) -> Iterable[str]:
    """What the directories are called that a scenario, or several, are in."""
    for source in [one.source for one in parts_of(scenario)] or [scenario]:
        parts = Path(source).parts
        if NAME in parts[:-1]:
            yield parts[parts.index(NAME) + 1]
