"""Files with secrets, which must be readable only by their owner."""

from __future__ import annotations

import os
from pathlib import Path

from amoc.base.errors import UsageError, os_error_as


def read(file: str, source: str) -> bytes:
    """Return the content of `file`, which is called `source` in messages.

    Raises:
        UsageError: It cannot be read, or others can read it.
    """
    with os_error_as(UsageError, f"{source} cannot be read"), Path(file).open("rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        data = opened.read()
    if mode & 0o077:
        raise UsageError(f"{source} must be accessible to its owner only; run chmod 600 on it")
    return data
