"""How much mail may be on its way to one process: what is beyond that is dropped. Pure."""

from __future__ import annotations

from typing import Protocol

MAX_MAIL = 5_000
MAX_MAIL_BYTES = 32 << 20
"""Commands on their way to one process, beyond which mail for it is dropped, counted and reported.
"""


class Backlogs(Protocol):
    """What knows how far behind each child is: `amoc.ipc.bus.Parent`."""

    def backlog(self, child: str, /) -> int:
        """How many commands it has not acknowledged."""

    def backlog_bytes(self, child: str, /) -> int:
        """What these take."""


def has_room(backlogs: Backlogs, child: str) -> bool:
    """Whether mail for `child` may be sent now."""
    return backlogs.backlog(child) < MAX_MAIL and backlogs.backlog_bytes(child) < MAX_MAIL_BYTES
