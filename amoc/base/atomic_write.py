"""Atomic writes: a file appears completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text` to `path`, replacing an existing file once everything is written.

    Args:
        path: The file's path.
        text: Its content.
        mode: Its permissions, subject to the umask; by default only the owner can read it.

    Raises:
        OSError: It cannot be written.
    """
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` to `path`, like `write_text`.

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
