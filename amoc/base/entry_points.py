"""Entry points of installed packages, at little cost if there are none.

`importlib.metadata` imports `email`, and parses the declarations of all installed packages on each
call. Usually no package declares a group of amoc's. So the files are read once, and later calls
only search their text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def of_group(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group."""
    texts = _texts()
    if texts is not None and not any(group in text for text in texts):
        return ()
    from importlib.metadata import entry_points  # here, since few runs need it

    return entry_points(group=group)


def targets(group: str) -> Iterable[str]:
    """Return the targets of the entry points of a group, such as ``package.module:name``."""
    texts = _texts()
    if texts is None:
        return [one.value for one in of_group(group)]
    found = (one for text in texts if group in text for one in _targets(text, group))
    return dict.fromkeys(found)  # a package may be found twice


def _targets(text: str, group: str) -> Iterable[str]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == group and "=" in line and not line.startswith("#"):
            yield line.partition("=")[2].strip()


def _texts() -> list[str] | None:
    """Return the declarations of installed packages; None if some may be out of reach here."""
    if any(hasattr(one, "find_distributions") and one is not PathFinder for one in sys.meta_path):
        return None
    texts: list[str] = []
    for place in map(Path, sys.path):
        with suppress(FileNotFoundError, PermissionError):
            found = place.stat()
            try:
                texts += _read(place, found.st_dev, found.st_ino, found.st_mtime_ns)
            except NotADirectoryError:  # an archive
                return None
    return texts


@cache
def _read(place: Path, *_changes_with: int) -> list[str]:
    texts = []
    for one in place.iterdir():
        if one.name.lower().endswith((".dist-info", ".egg-info", "egg-info")):
            with suppress(OSError):
                texts.append((one / "entry_points.txt").read_text("utf-8"))
    return texts
