"""The user's cache directory, for data that amoc can create or download again."""

from __future__ import annotations

import os
from pathlib import Path

from amoc.base.errors import ResourceError

PLACE = "set XDG_CACHE_HOME to a directory that can be written"


def directory(kind: str) -> Path:
    """Return the cache directory for a kind of data; it may not exist yet.

    Raises:
        ResourceError: There is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        raise ResourceError(f"there is no home directory for amoc's cache; {PLACE}") from None
    return cache / "amoc" / kind
