"""Pure. Data stored for a user, who need not be connected, and the limit of its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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


class Preferences(NamedTuple):
    """A user's archiving preferences (XEP-0441)."""

    default: str
    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    def wants(self, peer: str, *, in_roster: bool) -> bool:
        """Return whether messages from and to the bare address `peer` are archived."""
        if peer in self.never:
            return False
        return (
            peer in self.always
            or self.default == "always"
            or (self.default == "roster" and in_roster)
        )


@dataclass(slots=True)
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

    blocked: set[str] = field(default_factory=set)
    nodes: dict[str, Node] = field(default_factory=dict)
    offline: list[bytes] = field(default_factory=list)
    preferences: Preferences | None = None
    private: dict[str, str] = field(default_factory=dict)
    vcard: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return self == Kept()
