"""Pure. What is written: a scenario and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Written(NamedTuple):
    """What is to be written.

    Attributes:
        files: Contents by path, relative to where the scenario is to be; the scenario first.
        notes: What the operator is told, a line each.
    """

    files: Mapping[str, bytes]
    notes: list[str]
