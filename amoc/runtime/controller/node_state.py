"""What the controller knows of one node, and when it counts as lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amoc.base.clock import MS_NS, S_NS
from amoc.base.errors import AmocError, PeerError
from amoc.base.json_plain import JsonObject
from amoc.ipc.messages.lifecycle import Hello, Terminated
from amoc.ipc.messages.links import FromNode
from amoc.runtime.launcher import LaunchedNode

SILENT_S = 15.0
"""A node that reports nothing for this long counts as lost: it samples every second."""
LAST_REPORT_NS = 200 * MS_NS
LAST_REPORT_EACH_NS = 2 * MS_NS
CLEAN_NS = 8 * S_NS
"""How long the last report of a dead node may still be on its way: for one node, and what each
further node adds, as all may leave at once. If a node has exited cleanly its report is certainly on
its way, over a connection that may have to send it several times."""


@dataclass(eq=False)
class Node:
    """A node, as the controller knows it.

    Attributes:
        launched: Its process.
        name: Its name on the bus, in views and in metrics.
        heard_ns: When it last reported.
        seen: The latest report of each type.
        workers: The numbers of its workers, once they are known.
        failure: Why it cannot go on: its own report, or that it does not read messages.
        lost: Why the run goes on without it; empty while it is present.
        joined_at_s: When it joined, in seconds since users could start; None if at the start.
        ended_ns: When its process was first seen to have ended; 0 before that.
    """

    launched: LaunchedNode
    name: str
    heard_ns: int
    seen: dict[type, FromNode] = field(default_factory=dict)
    workers: range = range(0)
    failure: AmocError | None = None
    lost: str = ""
    joined_at_s: float | None = None
    mail_dropped: int = 0
    ended_ns: int = 0

    @property
    def names(self) -> tuple[str, str]:
        """What an operator may call it: its name, or its host's."""
        return self.name, self.launched.host

    def to_json(self) -> JsonObject:
        """Return its identity and place, for the journal and the status."""
        return {
            "name": self.name,
            "host": self.launched.host,
            "id": self.launched.engine_id,
            "workers": list(self.workers),
            "clock_bound_s": self.launched.clock_bounds_ns[0] / S_NS,
            "joined_at_s": self.joined_at_s,
        }

    def find_failure(
        self, at_ns: int, listened_ns: int, nodes: int, has_unread: Callable[[], bool]
    ) -> AmocError | None:
        """Return why the run cannot go on with this node; None if it can.

        Args:
            at_ns: Now.
            listened_ns: When the controller last processed reports.
            nodes: How many nodes there are, as all may leave at once.
            has_unread: Returns whether reports have arrived that were not processed yet.
        """
        if self.failure is not None:
            return self.failure
        how = self.launched.ended()
        if how is not None:
            self.ended_ns = self.ended_ns or at_ns
            grace_ns = LAST_REPORT_NS + LAST_REPORT_EACH_NS * nodes
            if self.launched.is_clean:
                grace_ns = max(grace_ns, CLEAN_NS)
            since_ns = at_ns - self.ended_ns
            if Terminated in self.seen or since_ns < grace_ns:
                return None
            if since_ns < SILENT_S * S_NS and has_unread():
                return None  # its last report may be among the unread ones: the controller is late
            return PeerError(f"{self.name} {how}")
        if Hello in self.seen and listened_ns - self.heard_ns > SILENT_S * S_NS:
            return PeerError(f"{self.name} has not reported for {SILENT_S:g} s")
        return None
