"""Pure. Data stored for a user, who need not be connected, and the limit of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmppd.answers import refuse_if

if TYPE_CHECKING:
    from amoc.xmppd.services.pubsub_node import Node

OVERHEAD_BYTES = 200
"""Cost of anything stored besides its content, in bytes."""


class Budget:
    """Bytes that may be stored, over all users and services."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Reserve space for something of `size` bytes.

        Raises:
            StanzaFailure: The total would be too large; nothing is reserved.
        """
        refuse_if(self.used + size + OVERHEAD_BYTES > self.limit, "resource-constraint")
        self.used += size + OVERHEAD_BYTES

    def give_back(self, size: int) -> None:
        """Release the space of something of `size` bytes."""
        self.used -= size + OVERHEAD_BYTES


class Preferences:
    """A user's archiving preferences (XEP-0441)."""

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
        """Return whether messages from and to the bare address `peer` are archived."""
        if peer in self.never:
            return False
        return (
            peer in self.always
            or self.default == "always"
            or (self.default == "roster" and in_roster)
        )


class Kept:
    """Data stored for one user.

    Attributes:
        blocked: Addresses that may not reach the user (XEP-0191).
        nodes: Its personal event nodes (XEP-0163), by name.
        offline: Messages stored until its next presence.
        preferences: Its archiving preferences; None: archive everything.
        private: Private data of its clients (XEP-0049), by tag.
        vcard: Its vCard, as markup.
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
        """Whether there is nothing in it."""
        return not (
            self.blocked
            or self.nodes
            or self.offline
            or self.preferences
            or self.private
            or self.vcard
        )
