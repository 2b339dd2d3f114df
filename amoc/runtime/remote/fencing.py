"""When a node that is cut off from its controller must be gone, on either side. Pure.

Users of a node that is given up restart elsewhere. So they must have stopped on that node before,
even if no message gets through. The keeper sends beats with its own time, and the controller sends
each back. The keeper counts from its newest beat that has come back: however long the beat was on
its way, the controller received it when it was made or later, and counts from then. So with one
clock or two, the keeper's limit passes before the controller's:

    beat made ── ORPHANED ── its users must stop ── KILLED ── nothing of it runs
       beat received, here or later ───────────── GIVEN_UP ── users restart elsewhere

A controller that is stalled for less than `ORPHANED_NS`, suspended or busy, loses no node: when it
resumes the beats are waiting, and it sends the newest back. A keeper that was stalled itself has
not read what arrived meanwhile, so it reads for a moment before it decides, until `KILLED_NS` at
most. A node monitors its keeper in the same way, in case that is stalled.

As long as a keeper has started no node, no user can run twice. Then it waits for another
`PATIENCE_NS`, as a controller that is loading modules may be stalled for longer. The controller
waits as long for a keeper that has joined until it is connected, as many may join at once.
"""

from __future__ import annotations

from amoc.base.clock import S_NS

BEAT_S = 0.5
BEAT = b"."
"""What a keeper writes to its node at this interval; anything else tells the node to stop."""
ORPHANED_NS = 3 * S_NS
"""After this long without its controller, a node's users must stop."""
KILLED_NS = 5 * S_NS
"""After this long it is killed."""
STALLED_NS = S_NS
"""A process that has not checked for this long was stalled; it then reads messages for as long."""
GIVEN_UP_NS = 8 * S_NS
"""A controller that has received no beat for this long knows that the node is gone. The difference
allows for a host so slow that its keeper is late."""
PATIENCE_NS = 27 * S_NS
"""How much longer a keeper waits for its controller while it has no node."""


class Fence:
    """The keeper's view: how long ago the controller is known to have been present."""

    def __init__(self, now_ns: int, patience_ns: int = 0) -> None:
        """Create it; the controller is present now. `patience_ns` is added to each limit."""
        self._patience_ns = patience_ns
        self._known_ns = self._looked_ns = self._listen_until_ns = now_ns
        self._orphaned = False

    @property
    def known_ns(self) -> int:
        """When the newest beat that has come back was made."""
        return self._known_ns

    def echoed(self, asked_ns: int) -> None:
        """Record that the beat made at `asked_ns` has come back."""
        if not self._orphaned:
            self._known_ns = max(self._known_ns, asked_ns)

    def is_orphaned(self, now_ns: int) -> bool:
        """Return whether the node must stop; once true it stays true.

        Call it at least every `STALLED_NS`.
        """
        if now_ns - self._looked_ns > STALLED_NS:
            self._listen_until_ns = now_ns + STALLED_NS
        self._looked_ns = now_ns
        silent_ns = now_ns - self._known_ns - self._patience_ns
        heard_all = now_ns >= self._listen_until_ns or silent_ns >= KILLED_NS
        self._orphaned |= silent_ns >= ORPHANED_NS and heard_all
        return self._orphaned

    def is_silent(self, now_ns: int) -> bool:
        """Return whether the controller has been silent for so long that a node must stop."""
        return now_ns - self._known_ns >= ORPHANED_NS

    def node_starts(self) -> None:
        """Record that a node is started, which ends the patience."""
        self._patience_ns = 0

    def is_over(self, now_ns: int) -> bool:
        """Return whether nothing of the node may run any more."""
        return self._orphaned and now_ns - self._known_ns >= KILLED_NS + self._patience_ns


def is_given_up(heard_ns: int, now_ns: int, patience_ns: int = 0) -> bool:
    """The controller's view: return whether a keeper last heard at `heard_ns` has no node."""
    return now_ns - heard_ns >= GIVEN_UP_NS + patience_ns
