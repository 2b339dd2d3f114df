"""What became of users that were to be removed: of one worker, or of all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from amoc.base.text import counted

FINALLY_S = 2.0
"""How long a killed user, or greenlet of its own, may take for its `finally` blocks."""


class Removal(NamedTuple):
    """Users that were removed, by what they were doing."""

    asked: int = 0
    """They run, and leave when this iteration is over."""
    killed: int = 0
    """They ran, and were removed at once."""
    withdrawn: int = 0
    """They had not started yet."""
    not_again: int = 0
    """They had lost their worker and were to start again."""
    stuck: Sequence[int] = ()
    """Of those killed, who is there all the same; the first of them."""

    @classmethod
    def sum(cls, parts: Iterable[Removal]) -> Removal:
        """The removals of all workers together."""
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
        """How many users were removed, or will leave."""
        return self.asked + self.killed + self.withdrawn + self.not_again

    def text(self) -> str:
        """For people."""
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
