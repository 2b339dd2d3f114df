"""When a node that is cut off from its controller has to be gone, on either side. Pure.

Users of a node that is given up start again elsewhere, so before that they must have stopped where
they were, also when nothing gets through. The keeper sends beats with its own time, and the
controller sends each back. The keeper counts from the newest beat of its own that has come back:
however long that was on its way, the controller has heard it at the time of the beat or later, and
counts from then. So with one clock or two, the keeper's limit is over before the controller's:

    beat made ── ORPHANED ── its users are to stop ── KILLED ── nothing of it runs
       beat heard, here or later ──────────────── GIVEN_UP ── users start elsewhere

A controller that stands still for less than `ORPHANED_NS`, suspended or busy, loses no node: the
beats are there when it goes on, and the newest is sent back. A keeper that stood still itself has
not had what came meanwhile, so it listens for a moment before it judges; that ends at `KILLED_NS`.
A node watches over its keeper in the same way, in case that is frozen.

As long as a keeper has started no node there is no user that could run twice. Then it waits for
`PATIENCE_NS` more, for a controller that loads what it needs may stand still for longer; and so
does the controller for one that has joined until its lines are there, for many may come at once.
"""

from __future__ import annotations

from amoc.base.clock import S_NS

BEAT_S = 0.5
BEAT = b"."
"""What a keeper writes to its node so often; once it has more to say, the node has to leave."""
ORPHANED_NS = 3 * S_NS
"""Without its controller for so long, a node's users are to stop."""
KILLED_NS = 5 * S_NS
"""After so long it is killed."""
STOOD_STILL_NS = S_NS
"""Who has not looked for so long was not running; and for so long it listens then."""
GIVEN_UP_NS = 8 * S_NS
"""A controller that has heard no beat for so long knows that the node is gone. The difference is
for a host so slow that its keeper comes late."""
PATIENCE_NS = 27 * S_NS
"""How much longer a keeper waits for its controller before it has started a node."""


class Fence:
    """A keeper's view: how long ago the controller is known to have been there."""

    def __init__(self, now_ns: int, patience_ns: int = 0) -> None:
        """The controller is there now; `patience_ns` comes on top of each limit."""
        self._patience_ns = patience_ns
        self._known_ns = self._looked_ns = self._listen_until_ns = now_ns
        self._orphaned = False

    @property
    def known_ns(self) -> int:
        """When the newest beat was made that has come back."""
        return self._known_ns

    def echoed(self, asked_ns: int) -> None:
        """The beat that was made at `asked_ns` has come back."""
        if not self._orphaned:
            self._known_ns = max(self._known_ns, asked_ns)

    def is_orphaned(self, now_ns: int) -> bool:
        """Whether the node has to stop; once that is so it stays so.

        To be asked at least every `STOOD_STILL_NS`.
        """
        if now_ns - self._looked_ns > STOOD_STILL_NS:
            self._listen_until_ns = now_ns + STOOD_STILL_NS
        self._looked_ns = now_ns
        silent_ns = now_ns - self._known_ns - self._patience_ns
        heard_all = now_ns >= self._listen_until_ns or silent_ns >= KILLED_NS
        self._orphaned |= silent_ns >= ORPHANED_NS and heard_all
        return self._orphaned

    def is_silent(self, now_ns: int) -> bool:
        """Whether the controller was not heard for so long that a node would have to stop."""
        return now_ns - self._known_ns >= ORPHANED_NS

    def node_starts(self) -> None:
        """From now on there is a node, and no patience."""
        self._patience_ns = 0

    def is_over(self, now_ns: int) -> bool:
        """Whether nothing of the node may run any more."""
        return self._orphaned and now_ns - self._known_ns >= KILLED_NS + self._patience_ns


def is_given_up(heard_ns: int, now_ns: int, patience_ns: int = 0) -> bool:
    """The controller's view: whether a keeper that was heard last at `heard_ns` has no node."""
    return now_ns - heard_ns >= GIVEN_UP_NS + patience_ns
