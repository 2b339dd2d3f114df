"""State of a multi-user chat as one member sees it (XEP-0045): its members and its topic.

A room with hundreds of members sends each of them hundreds of presences. So processing a presence
costs only a few look-ups, and a worker's users share one record per member.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp import meters
from amoc.xmpp.errors import RoomError, RoomLeftError
from amoc.xmpp.stanza import Stanza, error_of
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.namespaces import MESSAGE, PRESENCE

X: Final = f"{{{ns.MUC_USER}}}x"
ITEM: Final = f"{{{ns.MUC_USER}}}item"
STATUS: Final = f"{{{ns.MUC_USER}}}status"
DESTROY: Final = f"{{{ns.MUC_USER}}}destroy"
REASON: Final = f"{{{ns.MUC_USER}}}reason"
SUBJECT: Final = f"{{{ns.CLIENT}}}subject"

SELF: Final = "110"
CREATED: Final = "201"
RENAMED: Final = "303"
ENDS: Final = {
    "301": "banned",
    "307": "kicked",
    "321": "affiliation-changed",
    "322": "members-only",
    "332": "shutdown",
    "333": "removed",
}
REFUSALS: Final = {
    "conflict": "the nickname is taken",
    "forbidden": "the user is banned",
    "item-not-found": "the room does not exist, or is not configured yet",
    "not-acceptable": "another nickname is reserved for the user",
    "not-allowed": "the user may not create rooms",
    "not-authorized": "the room requires another password",
    "registration-required": "the room is for members only",
    "resource-constraint": "the room is full",
    "service-unavailable": "the room is full",
}
CHANGE_REFUSALS: Final = {
    "conflict": "the nickname is taken",
    "forbidden": "only some members may do that",
    "not-acceptable": "nicknames of this room cannot be changed",
}
MAX_MEMBERS: Final = 100_000
"""Maximum number of members kept of a room; a service that names more is broken."""


class Occupant(NamedTuple):
    """A current member of a room."""

    nick: str
    jid: str
    """Its real JID; empty if the room hides it."""
    affiliation: str
    """``owner``, ``admin``, ``member``, ``outcast`` or ``none``: permanent."""
    role: str
    """``moderator``, ``participant`` or ``visitor``: until it leaves."""


_occupant = lru_cache(maxsize=16_384)(Occupant)


@dataclass(slots=True, eq=False, repr=False)
class RoomState:
    """A member's view of a room; the session passes it each stanza from the room.

    Attributes:
        jid: The room's JID.
        nick: The user's nickname in the room, as the room confirmed it.
        who: User, room and nickname, for messages.
        members: The occupants, the user included, by nickname.
        subject: The room's topic; empty at first.
        created: Whether the user's join created the room.
        joined_ns: When the room let the user in, on the monotonic clock; 0 before that.
        leaving: Whether the user intends to leave, so that being out is not a failure.
        left: Whether the user has left or was removed.
        failure: Why the user is not in the room: it was refused or removed.
    """

    jid: str
    nick: str
    who: str
    members: dict[str, Occupant] = field(default_factory=dict)
    subject: str = ""
    created: bool = False
    joined_ns: int = 0
    leaving: bool = False
    left: bool = False
    failure: RoomError | RoomLeftError | None = None

    def on_stanza(self, stanza: Stanza) -> bool:
        """Process a stanza from the room; return whether the inbox can do without it."""
        if stanza.tag == PRESENCE:
            self._on_presence(stanza, stanza.xml)
            return True
        if stanza.tag == MESSAGE and stanza.type == "groupchat":
            subject = stanza.xml.find(SUBJECT)
            if subject is not None and stanza.body is None:
                self.subject = subject.text or ""
                return True
        return False

    def _on_presence(self, stanza: Stanza, xml: Element) -> None:
        nick = stanza.sender.partition("/")[2]
        kind = xml.get("type")
        if kind == "error":
            if not self.joined_ns:
                condition, _, text = error_of(xml)
                text = text or REFUSALS.get(condition, "")
                self.failure = RoomError(self.who, condition, text)
            return
        item, codes, destroy = None, [], None
        x = xml.find(X)
        for child in () if x is None else x:
            tag = child.tag
            if tag == ITEM:
                item = child
            elif tag == STATUS:
                codes.append(child.get("code", ""))
            elif tag == DESTROY:
                destroy = child
        if kind is None:
            self._on_available(nick, item, codes, stanza.received_ns)
        elif kind == "unavailable":
            self._on_unavailable(nick, item, codes, destroy)

    def _on_available(
        self, nick: str, item: Element | None, codes: list[str], received_ns: int
    ) -> None:
        attrs = {} if item is None else item.attrib
        if nick and len(self.members) < MAX_MEMBERS:
            self.members[nick] = _occupant(
                nick, attrs.get("jid", ""), attrs.get("affiliation", "none"), attrs.get("role", "")
            )
        if SELF in codes or (nick == self.nick and not self.joined_ns):
            self.nick = nick  # the service may have changed it
            if not self.joined_ns:
                self.created = CREATED in codes
                self.joined_ns = received_ns
                meters.rooms_joined.inc()

    def _on_unavailable(
        self, nick: str, item: Element | None, codes: list[str], destroy: Element | None
    ) -> None:
        known = self.members.pop(nick, None)
        own = SELF in codes or nick == self.nick
        if RENAMED in codes and item is not None:
            new = item.get("nick", "")
            if new and known is not None:
                self.members[new] = known._replace(nick=new)
            if own and new:
                self.nick = new
        elif own or destroy is not None:
            self._end(item, codes, destroy)

    def _end(self, item: Element | None, codes: list[str], destroy: Element | None) -> None:
        """Note that the user is out of the room, and why."""
        if self.left or not self.joined_ns:
            return
        ends = [ENDS[code] for code in codes if code in ENDS]
        how = "destroyed" if destroy is not None else ends[0] if ends else "removed"
        detail = destroy if destroy is not None else item
        reason = "" if detail is None else detail.findtext(REASON, "")
        self.on_end()
        if not self.leaving:
            self.failure = RoomLeftError(self.who, how, reason)
            meters.rooms_lost.inc()

    def on_end(self) -> None:
        """Note that the user is out, for whatever reason; harmless the second time."""
        if self.joined_ns and not self.left:
            meters.rooms_joined.dec()
        self.left = True
