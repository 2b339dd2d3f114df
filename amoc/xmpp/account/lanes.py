"""An account of the server, and its lanes in this worker."""

from __future__ import annotations

from amoc.xmpp.account.lane import Lane


class Account:
    """What the sessions of one account of the server share.

    Attributes:
        jid: Its bare JID in lower case.
        lanes: One for each session that it has had at once.
    """

    __slots__ = ("jid", "lanes")

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.lanes: list[Lane] = []

    def idle(self, resource: str) -> Lane | None:
        """A lane without a session, at best that of the same resource."""
        found = [lane for lane in self.lanes if not lane.is_open]
        same = (lane for lane in found if lane.resource == resource)
        return next(same, found[0] if found else None)

    def add(self, lane: Lane) -> None:
        """It has one more session at once than ever before."""
        self.lanes.append(lane)
        self._look()

    def remove(self, lane: Lane) -> None:
        """A lane is of no more use."""
        self.lanes.remove(lane)
        self._look()

    def _look(self) -> None:
        for lane in self.lanes:
            lane.is_alone = len(self.lanes) == 1
