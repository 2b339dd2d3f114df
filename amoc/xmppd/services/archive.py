"""Pure. Archives: the latest messages of each user and room, limited individually and in total."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.rewrite import Opened

_HINTS: Final = ns.HINTS.encode()
_NOT_STORED: Final = tuple(
    f"<{name} xmlns={quote}{ns.HINTS}{quote}".encode()
    for name in ("no-store", "no-permanent-store")
    for quote in "'\""
)


class Entry(NamedTuple):
    """One archived message."""

    moment: int
    """When it was sent, in microseconds since 1970; no two entries of a server share one."""
    sender: str
    """The sender's address; in a room, its address in the room."""
    recipient: str
    """The recipient's address: a client or a user; empty in a room."""
    stanza: bytes

    @property
    def id(self) -> str:
        """Its id for clients."""
        return str(self.moment)

    def is_with(self, jid: str, resources: str | None) -> bool:
        """Return whether it was sent from or to an address.

        Args:
            jid: The address.
            resources: Prefix of the addresses of its clients; None to ignore them.
        """
        ends = self.sender, self.recipient
        return jid in ends or (
            resources is not None and any(it.startswith(resources) for it in ends)
        )


class Archives:
    """The archives of all users and rooms, by bare address."""

    def __init__(self, per_archive: int, total: int, most_bytes: int) -> None:
        """Keep `per_archive` messages in each archive, and `total` in all; 0 turns archiving off.

        All stanzas together are limited to `most_bytes`.
        """
        self.on = per_archive > 0 and total > 0
        self._per_archive = per_archive
        self._total = total
        self._most_bytes = most_bytes
        self._bytes = 0
        self._count = 0
        self._last = 0
        self._archives: dict[str, deque[Entry]] = {}

    def __len__(self) -> int:
        return self._count

    def moment(self, now_us: int) -> int:
        """Return the moment of the next entry: now, or just after the last one."""
        self._last = last = max(now_us, self._last + 1)
        return last

    def add(self, owner: str, entry: Entry) -> None:
        """Archive a message; a full archive drops its oldest one.

        If the limit of all archives is reached, the oldest archive is emptied.
        """
        archive = self._archives.get(owner)
        if archive is None:
            archive = self._archives[owner] = deque(maxlen=self._per_archive)
        if len(archive) == self._per_archive:
            self._forget(archive.popleft())
        archive.append(entry)
        self._count += 1
        self._bytes += len(entry.stanza)
        while self._count > self._total or self._bytes > self._most_bytes:
            self._make_room(owner)

    def add_said(self, room: str, sender: str, said: Opened, now_us: int) -> bytes:
        """Archive a message in a room, if it is worth it; return its mark, else nothing."""
        if not self.on or not worth_archiving(said.inner):
            return b""
        moment = self.moment(now_us)
        self.add(room, Entry(moment, sender, "", said.head + b">" + said.inner + b"</message>"))
        return stanza_id(moment, escape(room).encode())

    def _make_room(self, owner: str) -> None:
        archive = self._archives[owner]
        if next(iter(self._archives)) == owner and len(archive) > 1:
            while len(archive) > 1:  # the newest entry stays
                self._forget(archive.popleft())
            return
        oldest = next((one for one in self._archives if one != owner), None)
        if oldest is not None:
            self.drop(oldest)
        else:  # a single message that exceeds the limit of all archives
            self._forget(archive.popleft())

    def _forget(self, entry: Entry) -> None:
        self._count -= 1
        self._bytes -= len(entry.stanza)

    def of(self, owner: str) -> list[Entry]:
        """Return the entries of an archive, oldest first."""
        return list(self._archives.get(owner, ()))

    def last(self, owner: str, count: int) -> list[Entry]:
        """Return the last `count` entries of an archive, oldest first."""
        archive = self._archives.get(owner)
        if archive is None or count <= 0:
            return []
        return [archive[at] for at in range(max(0, len(archive) - count), len(archive))]

    def drop(self, owner: str) -> None:
        """Delete an archive."""
        for entry in self._archives.pop(owner, ()):
            self._forget(entry)


def worth_archiving(stanza: bytes) -> bool:
    """Return whether a message has a body, and no hint against storing it (XEP-0334)."""
    if b"<body" not in stanza:
        return False
    return _HINTS not in stanza or not any(hint in stanza for hint in _NOT_STORED)


def stanza_id(moment: int, by: bytes) -> bytes:
    """Return the mark of an archived message (XEP-0359), a child element.

    Args:
        moment: The entry's moment.
        by: The archive's owner, escaped.
    """
    return _STANZA_ID % (by, moment)


_STANZA_ID: Final = b"<stanza-id xmlns='" + ns.STANZA_IDS.encode() + b"' by='%b' id='%d'/>"
