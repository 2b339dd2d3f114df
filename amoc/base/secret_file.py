"""Files with secrets, which only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path

from amoc.base.errors import UsageError, os_error_as


def read(file: str, source: str) -> bytes:
    """What is in `file`; messages call it `source`.

    Raises:
        UsageError: It cannot be read, or others can read it.
    """
    with os_error_as(UsageError, f"{source} cannot be read"), Path(file).open("rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        data = opened.read()
    if mode & 0o077:
        raise UsageError(f"{source} must be accessible to its owner only; run chmod 600 on it")
    return data
