"""A parser of server-sent events, line by line. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """An event of a stream."""

    kind: str
    data: str


class EventReader:
    """Assembles events from lines.

    Attributes:
        last_id: Id of the newest event, which is sent when reconnecting.
        retry_s: How long the server wants clients to wait before reconnecting.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s = 2.0
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []

    def lost(self) -> None:
        """Discard an incomplete event after the connection was lost."""
        self._id, self._kind, self._data = self.last_id, "", []

    def feed(self, line: str) -> Event | None:
        """Process a line. Return the event if the line, which is empty then, completes one."""
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
        return None  # also for comments, which start with a colon

    def _complete(self) -> Event | None:
        found = Event(self._kind or "message", "\n".join(self._data)) if self._data else None
        self.last_id, self._kind, self._data = self._id, "", []
        return found
