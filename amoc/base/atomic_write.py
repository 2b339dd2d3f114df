"""Writes files that are there as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text` to `path`; what was there stays until all of it is written.

    Args:
        path: Where to.
        text: What.
        mode: Who may read it, as far as the umask lets them; by default its owner.

    Raises:
        OSError: It cannot be written.
    """
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` to `path`, as `write_text` does.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.touch(mode)
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write `value` to `path` as JSON, for programs and people.

    Raises:
        OSError: It cannot be written.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
