"""Pure. A scenario and its other files, to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Written(NamedTuple):
    """The files to write.

    Attributes:
        files: Contents by path, relative to the scenario's directory; the scenario comes first.
        notes: Notes for the operator, a line each.
    """

    files: Mapping[str, bytes]
    notes: list[str]
