"""Pure. The stamp of a message: its id, which servers and rooms forward unchanged.

    amoc.RUN.CLOCK.SENDER.PAIR.FIRST/NUMBER.SENT.BEFORE

    RUN      the run that it belongs to
    CLOCK    the monotonic clock of its times: the controller's since its host's last boot, which
             nodes on other hosts follow
    SENDER   the session of the run that sent it
    PAIR     which of the sender's recipients it is for: ``u`` and a number for a user, ``r`` and a
             number for a room; ``-`` if unknown. If it is a user of the run, ``-`` and a checksum
             of its bare JID follow, so that other users can tell that a message is not for them
    FIRST    when the pair began, in nanoseconds
    NUMBER   number of the message in its pair, from 1; 0 if there is no pair
    SENT     when it was sent
    BEFORE   when the previous one was sent

Everything up to FIRST is the same for all messages of a pair: its *head*. Nothing in it needs
escaping. Times of different clocks are never compared.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

MARK: Final = "amoc."
USER: Final = "u"
ROOM: Final = "r"
LOOSE: Final = "-"
"""PAIR of a message whose recipient is unknown."""
MAX_NUMBER: Final = 10**15
MAX_NS: Final = 2**63 - 1
_HEAD = re.compile(
    r"amoc\.([0-9a-z-]{1,64})\.([0-9a-z-]{1,64})\.([0-9a-z-]{1,64})"
    r"\.(-|[ur][0-9]{1,9}(?:-[0-9a-f]{8})?)\.([0-9]{1,18})"
)

Stamp = tuple[int, int, int]
"""A message's number, when it was sent, and when the previous one was sent."""


class Head(NamedTuple):
    """The common part of the stamps of a pair."""

    run: str
    clock: str
    sender: str
    pair: str
    first_ns: int

    @property
    def is_room(self) -> bool:
        """Whether the recipient is a room."""
        return self.pair.startswith(ROOM)

    @property
    def number(self) -> int:
        """Index of the pair among its sender's pairs; -1 for none."""
        return -1 if self.pair == LOOSE else int(self.pair[1:].partition("-")[0])

    def may_be_for(self, jid: str) -> bool:
        """Return whether the recipient may be the user with this lower-case bare JID."""
        _, _, found = self.pair.partition("-")
        return not found or found == checksum(jid)


def checksum(jid: str) -> str:
    """Return the checksum of a user's bare JID in lower case."""
    return f"{zlib.crc32(jid.encode(errors='replace')):08x}"


def head(run: str, clock: str, sender: str, pair: str, first_ns: int) -> str:
    """Return the beginning of the ids of a pair."""
    return f"{MARK}{run}.{clock}.{sender}.{pair}.{first_ns}"


def read(rest: str) -> Stamp | None:
    """Parse the part of a stamp after the head; None if it is malformed."""
    try:
        number, sent_ns, before_ns = map(int, rest.split("."))
    except ValueError:
        return None
    if 0 <= number <= MAX_NUMBER and 0 <= sent_ns <= MAX_NS and 0 <= before_ns <= MAX_NS:
        return number, sent_ns, before_ns
    return None


def parse_head(text: str) -> Head | None:
    """Parse a head; None if it is malformed."""
    found = _HEAD.fullmatch(text)
    if found is None:
        return None
    run, clock, sender, pair, first_ns = found.groups()
    return Head(run, clock, sender, pair, int(first_ns))
