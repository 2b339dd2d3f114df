"""Open connections of clients, and which one to close when there are too many. Pure.

A connection is idle while the server waits for its client: until the head of a request is complete,
and again after the response. Clients that connect and stay silent must not keep others out. So when
the maximum is reached, a new connection replaces an idle one: the longest idle connection of the
client with the most connections. Each client also has a maximum of its own. If there is no idle
connection, the new one is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Connection:
    """An open connection.

    Attributes:
        client: Its client.
        end: Closes it, after a request that has already arrived is answered.
    """

    def __init__(self, owner: Connections, client: str, end: Callable[[], None]) -> None:
        self.client, self.end = client, end
        self._owner = owner

    def mark_busy(self) -> None:
        """Note that a complete request has arrived, which is being answered."""
        self._owner.idle.pop(self, None)

    def mark_idle(self) -> None:
        """Note that the connection is idle from now on."""
        if self in self._owner.open:
            self._owner.idle.setdefault(self)

    def close(self) -> None:
        """Note that the connection has ended, or is ending."""
        self._owner.idle.pop(self, None)
        self._owner.open.discard(self)


class Connections:
    """All open connections.

    Attributes:
        open: Open connections, without those that are ending.
        idle: The idle ones among them, longest idle first.
        ended: Number of connections closed in favour of others.
        refused: Number of connections refused.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        """Allow `most` connections in total, and `most_of_one` per client."""
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        self.ended = self.refused = 0
        self._most, self._most_of_one = most, most_of_one

    def admit(self, client: str, end: Callable[[], None]) -> Connection | None:
        """Return a new, idle connection; None if there is no room for it.

        Args:
            client: Its client.
            end: As for `Connection`.
        """
        if not self._has_room(client):
            self.refused += 1
            return None
        made = Connection(self, client, end)
        self.open.add(made)
        made.mark_idle()
        return made

    def _has_room(self, client: str) -> bool:
        """Return whether one more may be open, after closing an idle one if necessary."""
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
