"""Limit on the mail in flight to one process; mail beyond it is dropped. Pure."""

from __future__ import annotations

from typing import Protocol

MAX_MAIL = 5_000
MAX_MAIL_BYTES = 32 << 20
"""Commands in flight to a process, beyond which mail for it is dropped, counted and reported."""


class Backlogs(Protocol):
    """The backlog of each child, as kept by `amoc.ipc.bus.Parent`."""

    def backlog(self, child: str, /) -> int:
        """Return the number of commands that `child` has not acknowledged."""

    def backlog_bytes(self, child: str, /) -> int:
        """Return their size."""


def accepts_mail(backlogs: Backlogs, child: str) -> bool:
    """Return whether mail for `child` may be sent now."""
    return backlogs.backlog(child) < MAX_MAIL and backlogs.backlog_bytes(child) < MAX_MAIL_BYTES
