"""Directories for the sockets of runs, in the place for temporary files.

A run removes its own, also when its controller or its node is killed. Only one of which all
processes are killed at once, with their container say, leaves it behind; the next run removes it.
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
"""A younger one may be of a run that has not bound its sockets yet."""


def new_directory() -> str:
    """The name of a directory for a run's sockets, which is not there yet.

    The path of a socket has room for 107 bytes; where TMPDIR is too long for that, /tmp is taken.
    Directories there of the same user's runs that were killed are removed.
    """
    base = tempfile.gettempdir()
    base = base if len(base.encode()) < 70 else "/tmp"  # noqa: S108
    remove_dead(base)
    return f"{base}/amoc-{secrets.token_hex(8)}"


def remove_dead(base: str) -> None:
    """Remove the directories in `base` of this user's runs whose processes are all gone."""
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
    """Whether `path` is the socket of a process; of one that is too busy to accept, too."""
    with socket.socket(socket.AF_UNIX) as line:
        line.setblocking(False)
        return line.connect_ex(str(path)) != errno.ECONNREFUSED
