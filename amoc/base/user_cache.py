"""Where amoc keeps what it can make or get again: a directory of the user's, for all runs."""

from __future__ import annotations

import os
from pathlib import Path

from amoc.base.errors import ResourceError

PLACE = "set XDG_CACHE_HOME to a directory that can be written"


def directory(kind: str) -> Path:
    """Where things of that kind are, which may not be there yet.

    Raises:
        ResourceError: It cannot be told: there is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        raise ResourceError(f"there is no home directory for amoc's cache; {PLACE}") from None
    return cache / "amoc" / kind
