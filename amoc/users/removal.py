"""Outcome of a removal of users, on one worker or on all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from amoc.base.text import counted

FINALLY_S = 2.0
"""Time allowed to a killed user or one of its greenlets for `finally` blocks."""


class Removal(NamedTuple):
    """Counts of removed users, by their state."""

    asked: int = 0
    """Running; they leave at the end of this iteration."""
    killed: int = 0
    """Running; they were removed at once."""
    withdrawn: int = 0
    """Not started yet."""
    not_again: int = 0
    """Waiting to be restarted after the loss of their worker."""
    stuck: Sequence[int] = ()
    """The first ids of killed users that are still alive."""

    @classmethod
    def sum(cls, parts: Iterable[Removal]) -> Removal:
        """Combine the removals of all workers."""
        found = list(parts)
        return cls(
            asked=sum(one.asked for one in found),
            killed=sum(one.killed for one in found),
            withdrawn=sum(one.withdrawn for one in found),
            not_again=sum(one.not_again for one in found),
            stuck=tuple(sorted(user_id for one in found for user_id in one.stuck)),
        )

    @property
    def total(self) -> int:
        """The number of users that were removed or will leave."""
        return self.asked + self.killed + self.withdrawn + self.not_again

    def text(self) -> str:
        """Return a summary for the operator."""
        parts = [
            f"{counted(number, 'user')} {what}"
            for number, what in (
                (self.asked, "asked to stop"),
                (self.killed, "killed"),
                (self.withdrawn, "will not start"),
                (self.not_again, "will not start again"),
            )
            if number
        ]
        if self.stuck:
            parts.append(f"stuck after {FINALLY_S:g} s: {', '.join(map(str, self.stuck))}")
        return "; ".join(parts) or "no users to remove"
