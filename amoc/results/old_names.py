"""What run directories of earlier versions call what has another name today. Pure.

Files of a run are read for years, so what was written once must go on being read. This is the only
place that knows the old names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TODAY = {"slot": "worker", "epoch": "incarnation", "queued_s": "cpu_wait_s"}


def renamed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a series or a summary, with its fields called as they are today."""
    return {_TODAY.get(name, name): value for name, value in record.items()}
