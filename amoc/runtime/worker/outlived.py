"""Greenlets that outlive the user that spawned them: counted, and reported the first time."""

from __future__ import annotations

from collections.abc import Callable

from amoc.ipc.messages.lifecycle import Note
from amoc.metrics import optional
from amoc.metrics.reserved import OUTLIVED
from amoc.users.user import User


class Outlived:
    """Counts them for a worker."""

    def __init__(self, report: Callable[[Note], None]) -> None:
        """Create it; `report` can be called from anywhere, and does not block."""
        self._report = report
        self._has_warned = False

    def count(self, user: User, greenlets: int) -> None:
        """Count `greenlets` that `user`, which has ended, has left running."""
        if not self._has_warned:
            self._has_warned = True
            self._report(
                Note(
                    "warning",
                    f"user {user.id} has ended, but greenlets it spawned are still running (other"
                    " users may be affected too): start them with user.spawn(), and let them end"
                    f" when they are killed (counted in {OUTLIVED})",
                )
            )
        optional.counter(OUTLIVED).inc(greenlets)
