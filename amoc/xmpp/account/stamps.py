"""Pure. The stamp of a message: its id, which servers hand on unchanged, rooms included.

    amoc.RUN.CLOCK.SENDER.PAIR.FIRST/NUMBER.SENT.BEFORE

    RUN      which run it belongs to
    CLOCK    whose monotonic clock its times are on: a host's since its last boot
    SENDER   which of the run's sessions has sent it
    PAIR     which of the sender's recipients it is for: ``u`` and a number for a user, ``r`` and a
             number for a room; ``-`` where that is not known. If it is a user of the run, ``-`` and
             a checksum of its bare JID follow, so that others know that a message is not for them
    FIRST    when the pair began, in nanoseconds
    NUMBER   of the message in its pair, from 1; 0 where there is no pair
    SENT     when it was sent
    BEFORE   when the one before it was sent

All up to FIRST is the same for the messages of a pair: its *head*. Nothing in it needs escaping.
Times on two clocks are never compared.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

MARK: Final = "amoc."
USER: Final = "u"
ROOM: Final = "r"
LOOSE: Final = "-"
"""The pair of a message whose recipient is not known."""
MAX_NUMBER: Final = 10**15
MAX_NS: Final = 2**63 - 1
_HEAD = re.compile(
    r"amoc\.([0-9a-z-]{1,64})\.([0-9a-z-]{1,64})\.([0-9a-z-]{1,64})"
    r"\.(-|[ur][0-9]{1,9}(?:-[0-9a-f]{8})?)\.([0-9]{1,18})"
)

Stamp = tuple[int, int, int]
"""Its number, and when it and the one before it were sent."""


class Head(NamedTuple):
    """What the messages of a pair have in common."""

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
        """Which of its sender's pairs it is; -1 for none."""
        return -1 if self.pair == LOOSE else int(self.pair[1:].partition("-")[0])

    def may_be_for(self, jid: str) -> bool:
        """Whether the recipient may be the user with this bare JID, which is in lower case."""
        _, _, found = self.pair.partition("-")
        return not found or found == checksum(jid)


def checksum(jid: str) -> str:
    """What stands for a user's bare JID in lower case."""
    return f"{zlib.crc32(jid.encode(errors='replace')):08x}"


def head(run: str, clock: str, sender: str, pair: str, first_ns: int) -> str:
    """What the ids of a pair begin with."""
    return f"{MARK}{run}.{clock}.{sender}.{pair}.{first_ns}"


def read(rest: str) -> Stamp | None:
    """What follows the head; None if it is no stamp."""
    try:
        number, sent_ns, before_ns = map(int, rest.split("."))
    except ValueError:
        return None
    if 0 <= number <= MAX_NUMBER and 0 <= sent_ns <= MAX_NS and 0 <= before_ns <= MAX_NS:
        return number, sent_ns, before_ns
    return None


def parse_head(text: str) -> Head | None:
    """The head that `text` is; None if it is none."""
    found = _HEAD.fullmatch(text)
    if found is None:
        return None
    run, clock, sender, pair, first_ns = found.groups()
    return Head(run, clock, sender, pair, int(first_ns))
