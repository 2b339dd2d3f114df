"""Pure. Message accounting: which sent messages have arrived, exactly once and in order.

A sender numbers its messages to each recipient, a user or a room, from 1. Such a series is a
`Pair`; its numbers travel in the ids of the messages (`amoc.xmpp.account.stamps`). The receiver
keeps one `Flow` for each pair: the highest number so far, and the gaps below it. So a message is

    new         if its number is above the highest, or in a gap
    reordered   ... in a gap: a later one arrived before it
    duplicated  otherwise: it has arrived before

A missing message is lost only if it was *due*: sent while its recipient was present. A user is
present while it is available, a room's member while it is in the room (`Attendance`). Between two
messages that arrived during one stay, all others were due. Where a gap spans the beginning of a
stay, the times in the message that ends the gap decide: each message carries when it, the previous
one and the first of its pair were sent. Messages sent while the recipient was absent may still
arrive from an offline store, but never count as lost.

The receiver does not know what was sent after the last message that arrived. So at its end a sender
reports its `Total` to the receiver's worker: how many messages, and when the last was sent. The
last messages are lost if the recipient stayed for a while after they were sent.

Messages for which no total is reported may have been refused, or never sent, so they do not count
as lost.

Memory is bounded: a flow keeps `MAX_GAPS` gaps. One more gap decides the oldest early: its missing
messages will count as lost unless refused, and as duplicated if they still arrive.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from math import inf
from typing import Final, NamedTuple

MAX_GAPS: Final = 64
"""Maximum gaps kept per flow."""
MAX_STAYS: Final = 16
"""Maximum stays kept per attendance, to decide about messages sent during them that never arrived.
"""
MAX_REFUSED: Final = 256
"""Maximum ranges of refused numbers kept per pair. Beyond that, the oldest two are merged, and
messages between them never count as lost."""

Range = tuple[int, int]
"""The first and the last of consecutive numbers."""


class Arrival(IntEnum):
    """How an arriving message relates to its flow."""

    NEW = 0
    REORDERED = 1
    DUPLICATE = 2


class Stay(NamedTuple):
    """A period in which a recipient was present."""

    epoch: int
    since_ns: int
    until_ns: float


class Attendance:
    """When a recipient was present: a user available, or a member in a room.

    Attributes:
        epoch: The number of its latest stay, from 1; 0 before it.
        since_ns: When that began; 0 while it is absent.
    """

    __slots__ = ("_stays", "epoch", "since_ns")

    def __init__(self) -> None:
        self.epoch = 0
        self.since_ns = 0
        self._stays: tuple[Stay, ...] = ()  # usually just one

    def begin(self, now_ns: int) -> None:
        """Begin a stay, if it was absent."""
        if not self.since_ns:
            self.epoch += 1
            self.since_ns = now_ns

    def end(self, now_ns: int) -> None:
        """End the stay, if it was present."""
        if self.since_ns:
            stay = Stay(self.epoch, self.since_ns, now_ns)
            self._stays = (*self._stays[1 - MAX_STAYS :], stay)
            self.since_ns = 0

    def resume(self, ended_ns: int) -> None:
        """Continue the stay that ended at `ended_ns`, if there is one."""
        if not self.since_ns and self._stays and self._stays[-1].until_ns == ended_ns:
            self.since_ns = self._stays[-1].since_ns
            self._stays = self._stays[:-1]

    def stays(self) -> tuple[Stay, ...]:
        """Return its stays, the latest last; a current stay has no end."""
        if not self.since_ns:
            return self._stays
        return (*self._stays, Stay(self.epoch, self.since_ns, inf))


class Total(NamedTuple):
    """A sender's final report on a pair."""

    sent: int
    """Number of messages sent."""
    first_ns: int
    last_ns: int
    """When the first and the last were sent, on the receiver's clock."""
    refused: tuple[Range, ...] = ()
    """Messages returned as an error."""
    comparable: bool = True
    """Whether both sides have the same clock."""


class Pair:
    """A sender's record of its messages to one recipient.

    Attributes:
        to: The recipient's JID.
        head: Common beginning of their ids.
        room: Whether the recipient is a room.
        sent: Number of messages sent.
        last: When the last was sent, as in its stamp; before the first, when the pair began.
        refused: Messages returned as an error, in ordered ranges.
        chat_start: Start of chat messages to it, up to their number; empty until the first.
    """

    __slots__ = ("chat_start", "head", "last", "refused", "room", "sent", "to")

    def __init__(self, to: str, head: str, now_ns: int, room: bool) -> None:
        self.to = to
        self.head = head
        self.room = room
        self.sent = 0
        self.last = str(now_ns)  # a text, because the next stamp repeats it
        self.refused: list[Range] | None = None
        self.chat_start = ""

    def stamp(self, now_ns: int) -> str:
        """Return the id of the next message, to be sent now."""
        self.sent = number = self.sent + 1
        before, self.last = self.last, str(now_ns)
        return f"{self.head}/{number}.{self.last}.{before}"

    @property
    def last_ns(self) -> int:
        """When the last was sent; before the first, when the pair began."""
        return int(self.last)

    def refuse(self, number: int) -> bool:
        """Note that a message was returned as an error; return False if already known."""
        if not 1 <= number <= self.sent:
            return False
        ranges = self.refused = self.refused or []
        at = bisect_right(ranges, (number, inf))
        if at and ranges[at - 1][1] >= number:
            return False
        ranges.insert(at, (number, number))
        self.refused = merged(ranges)
        if len(self.refused) > MAX_REFUSED:
            (first, _), (_, last) = self.refused[:2]
            self.refused[:2] = [(first, last)]
        return True


class Flow:
    """One recipient's record of the messages of a pair.

    Attributes:
        there: When the recipient was present.
        first_ns: When the pair's first message was sent.
        comparable: Whether that is on this process's clock.
        room: Whether the messages come from a room.
        highest: The highest number that has arrived, or is no longer awaited.
        epoch: The stay in which the highest live message arrived; -1 before the first.
        decided: Number of due messages missing in gaps that are no longer kept.
        decided_to: The highest number in those gaps.
    """

    __slots__ = (
        *("_gaps", "comparable", "decided", "decided_to"),
        *("epoch", "first_ns", "highest", "room", "there"),
    )

    def __init__(
        self, there: Attendance, first_ns: int, comparable: bool = True, room: bool = False
    ) -> None:
        self.there = there
        self.first_ns = first_ns
        self.comparable = comparable
        self.room = room
        self.highest = 0
        self.decided = self.decided_to = 0
        self.epoch = -1
        self._gaps: list[tuple[int, int, bool]] | None = None

    def take(self, number: int, before_ns: int, live: bool = True) -> Arrival:
        """Note an arrived message.

        Args:
            number: Its number.
            before_ns: When the previous one was sent.
            live: Whether it comes directly from its sender, not from a store.
        """
        if number <= self.highest:
            return self._fill(number)
        if number > self.highest + 1:
            self._skip(number, before_ns)
        self.highest = number
        if live:  # so messages after it are sent while the recipient is present
            self.epoch = self.there.epoch
        return Arrival.NEW

    def _skip(self, number: int, before_ns: int) -> None:
        """Note that all numbers between the highest and `number` are missing, and which are due."""
        first, there = self.highest + 1, self.there
        if self.epoch == there.epoch:
            due = first
        elif not self.comparable or not there.since_ns:
            due = number
        elif self.first_ns >= there.since_ns:
            due = first
        else:
            due = number - 1 if before_ns >= there.since_ns else number
        gaps = self._gaps = self._gaps or []
        if due > first:
            gaps.append((first, due - 1, False))
        if number > due:
            gaps.append((due, number - 1, True))
        self._decide(gaps)

    def _decide(self, gaps: list[tuple[int, int, bool]]) -> None:
        """Keep at most MAX_GAPS gaps."""
        while len(gaps) > MAX_GAPS:
            first, self.decided_to, due = gaps.pop(0)
            if due:
                self.decided += self.decided_to - first + 1

    def _fill(self, number: int) -> Arrival:
        gaps = self._gaps
        at = bisect_right(gaps, (number, inf)) - 1 if gaps else -1
        if gaps is None or at < 0 or gaps[at][1] < number:
            return Arrival.DUPLICATE
        first, last, due = gaps[at]
        gaps[at : at + 1] = [
            (begin, end, due)
            for begin, end in ((first, number - 1), (number + 1, last))
            if begin <= end
        ]
        self._decide(gaps)
        return Arrival.REORDERED

    def has(self, number: int) -> bool:
        """Return whether the message has arrived."""
        return number <= self.highest and not any(
            first <= number <= last for first, last, _ in self._gaps or ()
        )

    def received(self) -> list[Range]:
        """Return the numbers that have arrived, including those decided early."""
        missing = [(first, last) for first, last, _ in self._gaps or ()]
        return without([(1, self.highest)] if self.highest else [], missing)

    @property
    def has_gaps(self) -> bool:
        """Whether a message below the highest is missing, or may be."""
        return bool(self._gaps or self.decided)

    def missing(self) -> list[Range]:
        """Return the numbers that were due and are missing below the highest."""
        return [(first, last) for first, last, due in self._gaps or () if due]


def unseen(flow: Flow | None, there: Attendance, total: Total, patience_ns: int) -> list[Range]:
    """Return the due numbers among those sent after the last message that arrived.

    Args:
        flow: What has arrived; None for nothing at all.
        there: When the recipient was present.
        total: The sender's report.
        patience_ns: How long a recipient must have stayed after they were sent.
    """
    highest = flow.highest if flow is not None else 0
    if total.sent <= highest or not total.comparable:
        return []
    first = total.sent + 1
    for stay in there.stays():
        if total.last_ns > stay.until_ns - patience_ns:
            continue
        if total.first_ns >= stay.since_ns or (flow is not None and flow.epoch == stay.epoch):
            return [(highest + 1, total.sent)]
        if total.last_ns >= stay.since_ns:
            first = total.sent
    return [(first, total.sent)] if first <= total.sent else []


def lost(flows: Iterable[Flow], there: Iterable[Attendance], total: Total, patience_ns: int) -> int:
    """Return how many messages of a pair are lost.

    Args:
        flows: One for each of the recipient's sessions that received any.
        there: The attendance of each of its sessions that received none.
        total: The sender's report.
        patience_ns: As in `unseen`.
    """
    flows = list(flows)
    if any(flow.highest > total.sent for flow in flows):
        return 0  # a forged number: it is unknown which of the others to believe
    due: list[Range] = []
    for flow in flows:
        due += flow.missing()
        due += unseen(flow, flow.there, total, patience_ns)
    for one in there:
        due += unseen(None, one, total, patience_ns)
    left = merged(due)
    for flow in flows:
        left = without(left, flow.received())
    found = size(without(left, total.refused))
    if len(flows) == 1:  # with more, what one session misses may have reached another
        (flow,) = flows
        found += max(0, flow.decided - size(up_to(flow.decided_to, total.refused)))
    return found


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of `ranges` as the fewest ranges possible, in order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """Return the numbers in `ranges` that are not in `taken`; both are in order."""
    found: list[Range] = []
    holes = list(taken)
    at = 0
    for begin, last in ranges:
        first = begin
        while at < len(holes) and holes[at][1] < first:
            at += 1
        hole = at
        while hole < len(holes) and holes[hole][0] <= last:
            if first < holes[hole][0]:
                found.append((first, holes[hole][0] - 1))
            first = holes[hole][1] + 1
            hole += 1
        if first <= last:
            found.append((first, last))
    return found


def up_to(highest: int, ranges: Iterable[Range]) -> list[Range]:
    """Return the numbers in `ranges` that are not above `highest`."""
    return [(first, min(last, highest)) for first, last in ranges if first <= highest]


def size(ranges: Iterable[Range]) -> int:
    """Return how many numbers there are in `ranges`."""
    return sum(last - first + 1 for first, last in ranges)
