"""An account on the server, and its lanes in this worker."""

from __future__ import annotations

from amoc.xmpp.account.lane import Lane


class Account:
    """Shared state of the sessions of one account on the server.

    Attributes:
        jid: Its bare JID in lower case.
        lanes: One for each of its simultaneous sessions so far.
    """

    __slots__ = ("jid", "lanes")

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.lanes: list[Lane] = []

    def idle(self, resource: str) -> Lane | None:
        """Return a lane without a session, preferably one of the same resource."""
        found = [lane for lane in self.lanes if not lane.is_open]
        same = (lane for lane in found if lane.resource == resource)
        return next(same, found[0] if found else None)

    def add(self, lane: Lane) -> None:
        """Add a lane: the account has more simultaneous sessions than ever before."""
        self.lanes.append(lane)
        self._update_lanes()

    def remove(self, lane: Lane) -> None:
        """Remove a lane that is no longer needed."""
        self.lanes.remove(lane)
        self._update_lanes()

    def _update_lanes(self) -> None:
        for lane in self.lanes:
            lane.is_alone = len(self.lanes) == 1
