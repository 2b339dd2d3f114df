"""Pure. The account of messages: which of those that were sent have arrived, once and in order.

A sender numbers what it sends to each recipient, a user or a room, from 1; that is a `Pair`, and
its numbers travel in the ids of the messages (`amoc.xmpp.account.stamps`). The receiver keeps one
`Flow` for each pair: the highest number so far, and the gaps below it. So a message is

    new         its number is above the highest, or in a gap
    reordered   ... in a gap: a later one has come before it
    duplicated  anything else: it has come before

What is missing is lost only if it was *due*: sent while its recipient was there. A user is there
while it is available, a member while it is in the room (`Attendance`). Between two messages that
came in one stay all others were due. Where a gap spans the beginning of a stay, the times in the
message that ends it tell: each carries when it, the one before it, and the pair's first were sent.
What was sent while the recipient was away may still come, from an offline store, but is never
called lost.

The receiver does not know what was sent after the last message that came. So at its end a sender
tells its `Total` to the receiver's worker: how many, and when the last. These last ones are lost if
the recipient stayed for a while after they were sent.

What nobody tells the total of may have been refused, or never sent: it is not called lost.

Memory is bounded: a flow keeps `MAX_GAPS` gaps. For one more the oldest is decided at once: what is
missing in it will be lost unless it was refused, and counts as duplicated if it comes after all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from math import inf
from typing import Final, NamedTuple

MAX_GAPS: Final = 64
"""Gaps that are kept of a flow."""
MAX_STAYS: Final = 16
"""Stays that are kept of an attendance, for messages that were sent in them and never came."""
MAX_REFUSED: Final = 256
"""Ranges of refused numbers that are kept of a pair; beyond, the oldest two become one, and what is
between them is never called lost."""

Range = tuple[int, int]
"""The first and the last of consecutive numbers."""


class Arrival(IntEnum):
    """What a message that has come is to its flow."""

    NEW = 0
    REORDERED = 1
    DUPLICATE = 2


class Stay(NamedTuple):
    """A time in which a recipient was there."""

    epoch: int
    since_ns: int
    until_ns: float


class Attendance:
    """When a recipient was there: a user available, or a member in a room.

    Attributes:
        epoch: The number of its latest stay, from 1; 0 before it.
        since_ns: When that began; 0 while it is away.
    """

    __slots__ = ("_stays", "epoch", "since_ns")

    def __init__(self) -> None:
        self.epoch = 0
        self.since_ns = 0
        self._stays: tuple[Stay, ...] = ()  # most have one

    def begin(self, now_ns: int) -> None:
        """It is there, if it was not."""
        if not self.since_ns:
            self.epoch += 1
            self.since_ns = now_ns

    def end(self, now_ns: int) -> None:
        """It is away, if it was not."""
        if self.since_ns:
            stay = Stay(self.epoch, self.since_ns, now_ns)
            self._stays = (*self._stays[1 - MAX_STAYS :], stay)
            self.since_ns = 0

    def go_on(self, ended_ns: int) -> None:
        """The stay that ended at `ended_ns`, if one did, has not ended after all."""
        if not self.since_ns and self._stays and self._stays[-1].until_ns == ended_ns:
            self.since_ns = self._stays[-1].since_ns
            self._stays = self._stays[:-1]

    def stays(self) -> tuple[Stay, ...]:
        """Its stays, the latest last; one that goes on has no end."""
        if not self.since_ns:
            return self._stays
        return (*self._stays, Stay(self.epoch, self.since_ns, inf))


class Total(NamedTuple):
    """What a sender says of a pair at its end."""

    sent: int
    """How many it has sent."""
    first_ns: int
    last_ns: int
    """When it sent the first and the last, on the receiver's clock."""
    refused: tuple[Range, ...] = ()
    """What came back as an error."""
    comparable: bool = True
    """Whether both clocks are the same."""


class Pair:
    """What a sender knows of its messages to one recipient.

    Attributes:
        to: The recipient's JID.
        head: What the ids of all of them begin with.
        room: Whether the recipient is a room.
        sent: How many there are.
        last_ns: When the last was sent; at first, when the pair began.
        refused: What came back as an error, in ranges that are in order.
        chat_tag: What chat messages to it begin with, up to their id; empty until the first.
    """

    __slots__ = ("chat_tag", "head", "last_ns", "refused", "room", "sent", "to")

    def __init__(self, to: str, head: str, now_ns: int, room: bool) -> None:
        self.to = to
        self.head = head
        self.room = room
        self.sent = 0
        self.last_ns = now_ns
        self.refused: list[Range] | None = None
        self.chat_tag = ""

    def stamp(self, now_ns: int) -> str:
        """The id of the next message, which is sent now."""
        self.sent = number = self.sent + 1
        text = f"{self.head}/{number}.{now_ns}.{self.last_ns}"
        self.last_ns = now_ns
        return text

    def refuse(self, number: int) -> bool:
        """A message came back as an error; whether that is new."""
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
    """What has come of one pair to one recipient.

    Attributes:
        there: When the recipient was there.
        first_ns: When the pair's first message was sent.
        comparable: Whether that is on this process's clock.
        room: Whether it comes from a room.
        highest: The highest number that has come, or that need not come any more.
        epoch: The stay in which the highest came that was live; -1 before it.
        decided: How many that were due are missing in gaps that are not kept any more.
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
        """A message has come.

        Args:
            number: Its number.
            before_ns: When the one before it was sent.
            live: Whether it comes right from its sender, and not from a store.
        """
        if number <= self.highest:
            return self._fill(number)
        if number > self.highest + 1:
            self._skip(number, before_ns)
        self.highest = number
        if live:  # so what follows it is sent while the recipient is there
            self.epoch = self.there.epoch
        return Arrival.NEW

    def _skip(self, number: int, before_ns: int) -> None:
        """All between the highest and `number` are missing; some of them, or all, were due."""
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
        """Keep no more than MAX_GAPS."""
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
        """Whether it has come."""
        return number <= self.highest and not any(
            first <= number <= last for first, last, _ in self._gaps or ()
        )

    def received(self) -> list[Range]:
        """What has come; what was decided early counts."""
        missing = [(first, last) for first, last, _ in self._gaps or ()]
        return without([(1, self.highest)] if self.highest else [], missing)

    @property
    def has_gaps(self) -> bool:
        """Whether anything below the highest has not come, or may not have."""
        return bool(self._gaps or self.decided)

    def missing(self) -> list[Range]:
        """What was due and has not come, as far as it was overtaken by something that has."""
        return [(first, last) for first, last, due in self._gaps or () if due]


def unseen(flow: Flow | None, there: Attendance, total: Total, patience_ns: int) -> list[Range]:
    """What was due of the messages that were sent after the last that came.

    Args:
        flow: What has come; None for nothing at all.
        there: When the recipient was there.
        total: What the sender says.
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
    """How many messages of a pair are lost.

    Args:
        flows: What has come to each of the recipient's sessions that has got any.
        there: When each of its sessions that has got none was there.
        total: What the sender says.
        patience_ns: As in `unseen`.
    """
    flows = list(flows)
    if any(flow.highest > total.sent for flow in flows):
        return 0  # a forged number; which of the others to believe is not known
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
    if len(flows) == 1:  # what was decided of one session may have come to another
        (flow,) = flows
        found += max(0, flow.decided - size(up_to(flow.decided_to, total.refused)))
    return found


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The numbers that are in any of `ranges`, in as few ranges as can be, in order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """The numbers of `ranges` that are in none of `taken`; both are in order."""
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
    """The numbers of `ranges` that are not above `highest`."""
    return [(first, min(last, highest)) for first, last in ranges if first <= highest]


def size(ranges: Iterable[Range]) -> int:
    """How many numbers they are."""
    return sum(last - first + 1 for first, last in ranges)
