"""Server-sent events as a client reads them, line by line. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """An event of a stream."""

    kind: str
    data: str


class EventReader:
    """Makes events of lines.

    Attributes:
        last_id: What the server is told after a lost connection: the id of the newest event.
        retry_s: How long it wants us to wait before.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s = 2.0
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []

    def lost(self) -> None:
        """The connection was lost: what was not complete does not count."""
        self._id, self._kind, self._data = self.last_id, "", []

    def feed(self, line: str) -> Event | None:
        """The event that a line completes: the empty line behind it."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            return self._complete()
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        elif name == "retry" and value.isdecimal():
            self.retry_s = min(int(value) / 1000, 60.0)
        return None  # also for a comment, which begins with a colon

    def _complete(self) -> Event | None:
        found = Event(self._kind or "message", "\n".join(self._data)) if self._data else None
        self.last_id, self._kind, self._data = self._id, "", []
        return found
