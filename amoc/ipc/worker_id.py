"""Which worker something came from, or goes to. Pure."""

from __future__ import annotations

from typing import NamedTuple


class WorkerId(NamedTuple):
    """One worker of a run, and no other that has its slot before or after it."""

    node: str
    slot: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.node}/{self.slot}"
