"""``summary.json``: written as a whole or not at all, with a checksum of its contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from amoc.base import atomic_write, json_lines
from amoc.results import old_names
from amoc.results.summary_types import Summary

_CHECKSUM = "checksum"


def write(summary: Summary, path: Path) -> None:
    """Write `summary` to `path`.

    Raises:
        OSError: It cannot be written.
    """
    atomic_write.write_json(path, {**summary, _CHECKSUM: _checksum(summary)})


def read(path: Path, sealed: bool = False) -> Summary | None:
    """Read the summary in `path`; None if it is damaged.

    Args:
        path: The file.
        sealed: Whether it must have a checksum; earlier versions wrote none.

    Raises:
        OSError: It cannot be read.
    """
    found = json_lines.parse(path.read_bytes()) or {}
    checksum, run = found.pop(_CHECKSUM, None), found.get("run")
    if not (isinstance(run, dict) and isinstance(run.get("verdict"), str)):
        return None
    as_written = checksum == _checksum(found) if sealed or checksum is not None else True
    return old_names.summary(found) if as_written else None


def _checksum(summary: Mapping[str, object]) -> str:
    """Return a checksum that does not depend on the file's layout."""
    return hashlib.sha256(json.dumps(summary).encode()).hexdigest()
