"""Directories for the sockets of runs, below the directory for temporary files.

A run removes its own, even if its controller or node is killed. Only a run whose processes are all
killed at once, such as with their container, leaves it behind; the next run removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path

_NAME = re.compile(r"amoc-[0-9a-f]{16}")
MIN_AGE_S = 60.0
"""A younger directory may belong to a run that has not bound its sockets yet."""


def new_directory() -> str:
    """Return a name for a new directory for a run's sockets, without creating it.

    The path of a socket is limited to 107 bytes; if TMPDIR is too long for that, /tmp is used.
    Directories of this user's killed runs are removed from there.
    """
    base = tempfile.gettempdir()
    base = base if len(base.encode()) < 70 else "/tmp"  # noqa: S108
    remove_dead(base)
    return f"{base}/amoc-{secrets.token_hex(8)}"


def remove_dead(base: str) -> None:
    """Remove the directories in `base` of this user's runs without live processes."""
    with contextlib.suppress(OSError), os.scandir(base) as found:
        for entry in found:
            if _NAME.fullmatch(entry.name) and _is_dead(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_dead(entry: os.DirEntry[str]) -> bool:
    try:
        state = entry.stat(follow_symlinks=False)
        if state.st_uid != os.geteuid() or time.time() - state.st_mtime < MIN_AGE_S:
            return False
        return not any(map(_is_bound, Path(entry.path).rglob("*")))
    except OSError:
        return False


def _is_bound(path: Path) -> bool:
    """Return whether `path` is a socket in use, even if its process is too busy to accept."""
    with socket.socket(socket.AF_UNIX) as line:
        line.setblocking(False)
        return line.connect_ex(str(path)) != errno.ECONNREFUSED
