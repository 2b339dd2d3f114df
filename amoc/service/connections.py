"""Which clients have connections, and who has to make room. Pure.

A connection is idle while it is for its client to send something: until the head of a request is
there, and from the answer on. Whoever connects and is silent keeps nobody out: when there are as
many connections as may be, an idle one ends for the new one, that of the client with the most
connections which has been idle for longest. One client has some of them at the most. Where none is
idle the new one is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Connection:
    """One of them.

    Attributes:
        client: Whose it is.
        end: Ends it, once what has come was answered.
    """

    def __init__(self, owner: Connections, client: str, end: Callable[[], None]) -> None:
        self.client, self.end = client, end
        self._owner = owner

    def works(self) -> None:
        """It has a whole request, which is being answered."""
        self._owner.idle.pop(self, None)

    def rests(self) -> None:
        """It is idle from now on."""
        if self in self._owner.open:
            self._owner.idle.setdefault(self)

    def close(self) -> None:
        """It has ended, or is about to."""
        self._owner.idle.pop(self, None)
        self._owner.open.discard(self)


class Connections:
    """All of them.

    Attributes:
        open: Those that are open, but for those that are about to end.
        idle: The idle ones of them, those first that have been idle for longest.
        ended: How many were ended for others.
        refused: How many were refused.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        """There may be so many in all, and of one client."""
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        self.ended = self.refused = 0
        self._most, self._most_of_one = most, most_of_one

    def admit(self, client: str, end: Callable[[], None]) -> Connection | None:
        """A new connection, which is idle; None if there is no room for it.

        Args:
            client: Whose it is.
            end: As for `Connection`.
        """
        if not self._has_room(client):
            self.refused += 1
            return None
        made = Connection(self, client, end)
        self.open.add(made)
        made.rests()
        return made

    def _has_room(self, client: str) -> bool:
        """Whether one more may be open, perhaps in the place of another one."""
        counts = Counter(one.client for one in self.open)
        if counts[client] >= self._most_of_one:
            found = next((one for one in self.idle if one.client == client), None)
        elif len(self.open) >= self._most:
            found = max(self.idle, key=lambda one: counts[one.client], default=None)
        else:
            return True
        if found is not None:
            found.close()
            found.end()
            self.ended += 1
        return found is not None
