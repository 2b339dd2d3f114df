"""One room (XEP-0045): its occupants and affiliations, and what each occupant receives.

A message is taken apart once; each occupant then costs one concatenation and one look-up. A
newcomer receives, in the order of section 7.1: the others, itself, the history, and the subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape, serialise
from amoc.xmppd.rewrite import Opened, stamp
from amoc.xmppd.services import moments
from amoc.xmppd.services.archive import Entry
from amoc.xmppd.services.muc_config import Config
from amoc.xmppd.services.service import Incoming

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

JOIN: Final = f"{{{ns.MUC}}}x"
_USER_X: Final = f"{{{ns.MUC_USER}}}x"
_CLOSE: Final = b"</message>"

SELF: Final = 110
"""Status codes (section 15.6)."""
ADDRESSES_SHOWN: Final = 100
LOGGED: Final = 170
CREATED: Final = 201
BANNED: Final = 301
RENAMED: Final = 303
KICKED: Final = 307
UNAFFILIATED: Final = 321
NOW_MEMBERS_ONLY: Final = 322


class Occupant:
    """One client in a room.

    Attributes:
        jid: Its full address.
        nick: Its nickname in the room.
        role: moderator, participant or visitor.
        to: Its address as an attribute.
        shown: The content of its presence, as markup.
    """

    __slots__ = ("jid", "nick", "role", "shown", "to")

    def __init__(self, jid: str, nick: str, role: str, shown: str) -> None:
        self.jid = jid
        self.nick = nick
        self.role = role
        self.shown = shown
        self.to = stamp({"to": jid})

    @property
    def bare(self) -> str:
        """The user's bare address."""
        return self.jid.partition("/")[0]


class Room:
    """One room.

    Attributes:
        jid: Its address.
        config: Its configuration.
        affiliations: owner, admin, member or outcast, by bare address.
        occupants: Occupants by nickname.
        by_jid: Occupants by full address.
        unconfigured: Whether it is new and its owner has not configured it yet.
    """

    __slots__ = (
        "_domain", "_subject", "affiliations", "by_jid", "config", "jid", "occupants",
        "unconfigured",
    )  # fmt: skip

    def __init__(self, domain: Domain, jid: str) -> None:
        self._domain = domain
        self.jid = jid
        self.config = Config()
        self.affiliations: dict[str, str] = {}
        self.occupants: dict[str, Occupant] = {}
        self.by_jid: dict[str, Occupant] = {}
        self.unconfigured = True
        self._subject: Opened | None = None

    def affiliation(self, bare: str) -> str:
        """Return a user's affiliation; ``none`` by default."""
        return self.affiliations.get(bare, "none")

    def usual_role(self, bare: str) -> str:
        """Return the role that a user gets on entering, by its affiliation."""
        affiliation = self.affiliation(bare)
        if affiliation in ("owner", "admin"):
            return "moderator"
        return "visitor" if self.config.moderated and affiliation == "none" else "participant"

    # Entering and leaving

    def enter(self, stanza: Incoming, nick: str, *, created: bool) -> None:
        """Let a client enter; `stanza` is its presence, which may limit the history."""
        role = self.usual_role(stanza.sender_bare)
        occupant = Occupant(stanza.sender, nick, role, shown_of(stanza))
        self.occupants[nick] = self.by_jid[occupant.jid] = occupant
        others = [other for other in self.occupants.values() if other is not occupant]
        self.show(occupant, others)
        self.welcome(occupant, stanza, created=created)

    def welcome(self, occupant: Occupant, stanza: Incoming, *, created: bool = False) -> None:
        """Send a newcomer the occupants, the history and the subject."""
        for other in self.occupants.values():
            if other is not occupant:
                self.show(other, [occupant])
        codes = [CREATED] if created else []
        if self.config.whois == "anyone":
            codes.append(ADDRESSES_SHOWN)
        if self._domain.archives.on:
            codes.append(LOGGED)
        self.show(occupant, [occupant], codes=codes)
        for entry in self._history(stanza):
            old = moments.delay(entry.moment, self.jid)
            sent = entry.stanza
            self._domain.send(occupant.jid, sent[:8] + occupant.to + sent[8:-10] + old + _CLOSE)
        subject = self._subject or Opened(
            f"<message type='groupchat' from='{escape(self.jid)}'".encode(), b"<subject/>"
        )
        self._domain.send(occupant.jid, subject.head + occupant.to + b">" + subject.inner + _CLOSE)

    def leave(
        self, occupant: Occupant, shown: str = "", *, codes: Iterable[int] = (), extra: str = ""
    ) -> None:
        """Remove a client; `extra` is markup with a reason, in addition to the status `codes`."""
        viewers = list(self.occupants.values())
        del self.occupants[occupant.nick], self.by_jid[occupant.jid]
        occupant.shown = shown
        self.show(occupant, viewers, gone=True, codes=codes, extra=extra)

    def rename(self, occupant: Occupant, nick: str) -> None:
        """Change a client's nickname (section 7.6)."""
        everybody = list(self.occupants.values())
        self.show(occupant, everybody, gone=True, codes=[RENAMED], nick=nick)
        del self.occupants[occupant.nick]
        occupant.nick = nick
        self.occupants[nick] = occupant
        self.show(occupant, everybody)

    def show(
        self,
        occupant: Occupant,
        viewers: Iterable[Occupant],
        *,
        gone: bool = False,
        codes: Iterable[int] = (),
        extra: str = "",
        nick: str | None = None,
    ) -> None:
        """Send the presence of `occupant` to `viewers`.

        Args:
            occupant: The occupant.
            viewers: The recipients.
            gone: Whether the occupant is leaving, or giving up this nickname.
            codes: Status codes in addition to the one that marks self-presence.
            extra: Markup inside the item, such as a reason.
            nick: Its new nickname, if it changes it.
        """
        kind = "unavailable" if gone else None
        head = f"<presence{attributes(from_=f'{self.jid}/{occupant.nick}', type=kind)}".encode()
        role = "none" if gone and nick is None else occupant.role
        affiliation = self.affiliation(occupant.bare)
        status = "".join(f"<status code='{code}'/>" for code in codes)
        tails: dict[tuple[bool, bool], bytes] = {}
        for viewer in viewers:
            sees_jid = self.config.whois == "anyone" or viewer.role == "moderator"
            which = sees_jid or viewer is occupant, viewer is occupant
            tail = tails.get(which)
            if tail is None:
                jid = occupant.jid if which[0] else None
                item = attributes(affiliation=affiliation, role=role, jid=jid, nick=nick)
                own = f"<status code='{SELF}'/>" if which[1] else ""
                x = f"<x xmlns='{ns.MUC_USER}'><item{item}>{extra}</item>{status}{own}</x>"
                tail = tails[which] = f">{occupant.shown}{x}</presence>".encode()
            self._domain.send(viewer.jid, head + viewer.to + tail)

    # Messages

    def say(self, opened: Opened, sender: Occupant) -> None:
        """Send a message to all, including its sender, and archive it if it has a body."""
        head, inner = opened
        domain = self._domain
        mark = domain.archives.add_said(
            self.jid, f"{self.jid}/{sender.nick}", opened, domain.now_us()
        )
        tail = b">" + inner + mark + _CLOSE
        sessions = domain.sessions
        count = 0
        for occupant in self.occupants.values():
            session = sessions.get(occupant.jid)
            if session is not None:
                session.transport.write(head + occupant.to + tail)
                count += 1
        domain.counts.messages_routed += count

    def set_subject(self, opened: Opened, sender: Occupant) -> None:
        """Change the subject, and announce it to all."""
        self._subject = opened
        self.say(opened, sender)

    def _history(self, stanza: Incoming) -> list[Entry]:
        wanted = stanza.tree.find(f"{JOIN}/{{{ns.MUC}}}history")
        asked = wanted.attrib if wanted is not None else {}
        most = self.config.history
        if "maxstanzas" in asked:
            most = min(most, _number(asked["maxstanzas"]))
        after = 0
        if "seconds" in asked:
            after = self._domain.now_us() - _number(asked["seconds"]) * 1_000_000
        if "since" in asked:
            try:
                after = max(after, moments.read(asked["since"]))
            except ValueError:
                after = max(after, 0)
        entries = self._domain.archives.last(self.jid, most)
        entries = [entry for entry in entries if entry.moment >= after]
        if "maxchars" not in asked:
            return entries
        left = _number(asked["maxchars"])
        fitting = []
        for entry in reversed(entries):
            left -= len(entry.stanza)
            if left < 0:
                break
            fitting.append(entry)
        return fitting[::-1]


def shown_of(presence: Incoming) -> str:
    """Return the part of a client's presence that others see: all but what is for the room."""
    return "".join(
        serialise(child, ns.CLIENT, inherit=False)
        for child in presence.tree
        if child.tag not in (JOIN, _USER_X)
    )


def _number(text: str) -> int:
    return int(text[:9]) if text.isascii() and text.isdigit() else 0
