"""Pure. What the server keeps for a user who need not be connected, and how much of it there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmppd.answers import refuse_if

if TYPE_CHECKING:
    from amoc.xmppd.services.pubsub_node import Node

OVERHEAD_BYTES = 200
"""What anything kept costs beside its content."""


class Budget:
    """Bytes that may be kept, over all users and services."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Account for something of `size` bytes.

        Raises:
            StanzaFailure: That would be too much in all; nothing is accounted for.
        """
        refuse_if(self.used + size + OVERHEAD_BYTES > self.limit, "resource-constraint")
        self.used += size + OVERHEAD_BYTES

    def give_back(self, size: int) -> None:
        """Something of `size` bytes is gone."""
        self.used -= size + OVERHEAD_BYTES


class Preferences:
    """Which messages a user wants archived (XEP-0441)."""

    __slots__ = ("always", "default", "never")

    def __init__(
        self,
        default: str,
        always: frozenset[str] = frozenset(),
        never: frozenset[str] = frozenset(),
    ) -> None:
        self.default = default
        self.always = always
        self.never = never

    def wants(self, peer: str, *, in_roster: bool) -> bool:
        """Whether messages from and to the bare address `peer` are archived."""
        if peer in self.never:
            return False
        return (
            peer in self.always
            or self.default == "always"
            or (self.default == "roster" and in_roster)
        )


class Kept:
    """What is kept for one user.

    Attributes:
        blocked: Addresses that may not reach the user (XEP-0191).
        nodes: Its personal events (XEP-0163), by name.
        offline: Messages that wait for its next presence.
        preferences: What it wants archived; None: everything.
        private: What its clients have stored (XEP-0049), by tag.
        vcard: Its card, as markup.
    """

    __slots__ = ("blocked", "nodes", "offline", "preferences", "private", "vcard")

    def __init__(self) -> None:
        self.blocked: set[str] = set()
        self.nodes: dict[str, Node] = {}
        self.offline: list[bytes] = []
        self.preferences: Preferences | None = None
        self.private: dict[str, str] = {}
        self.vcard = ""

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (
            self.blocked
            or self.nodes
            or self.offline
            or self.preferences
            or self.private
            or self.vcard
        )
