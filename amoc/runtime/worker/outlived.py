"""Greenlets that go on without the user that has spawned them: counted, and told the first time."""

from __future__ import annotations

from collections.abc import Callable

from amoc.ipc.messages.lifecycle import Note
from amoc.metrics import optional
from amoc.metrics.reserved import OUTLIVED
from amoc.users.user import User


class Outlived:
    """Counts them for a worker."""

    def __init__(self, report: Callable[[Note], None]) -> None:
        """Begin with none; `report` may be called from anywhere, and never waits."""
        self._report = report
        self._has_told = False

    def count(self, user: User, greenlets: int) -> None:
        """So many of `user`, which has ended, go on."""
        if not self._has_told:
            self._has_told = True
            self._report(
                Note(
                    "warning",
                    f"user {user.id} has ended, but greenlets it spawned are still running (other"
                    " users may be affected too): start them with user.spawn(), and let them end"
                    f" when they are killed (counted in {OUTLIVED})",
                )
            )
        optional.counter(OUTLIVED).inc(greenlets)
