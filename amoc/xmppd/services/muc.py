"""Rooms (XEP-0045): the service ``conference.<domain>``.

A room is created when the first client enters it, and is usable at once; its creator may configure
it before or after others enter. It is removed with its last occupant unless it is persistent.
`muc_room` implements the inside of a room, `muc_admin` its administration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape, serialise
from amoc.xmppd import delivery
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.rewrite import opened
from amoc.xmppd.services import mam, muc_admin
from amoc.xmppd.services.muc_config import room_features, room_info
from amoc.xmppd.services.muc_room import JOIN, Occupant, Room, shown_of
from amoc.xmppd.services.paging import Paging, rsm
from amoc.xmppd.services.service import (
    PING,
    Handlers,
    Incoming,
    Service,
    disco_info,
    named,
    only_child,
)

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

_SUBJECT: Final = f"{{{ns.CLIENT}}}subject"
_BODY: Final = f"{{{ns.CLIENT}}}body"
_X: Final = f"{{{ns.MUC_USER}}}x"
_INVITE: Final = f"{{{ns.MUC_USER}}}invite"
_DECLINE: Final = f"{{{ns.MUC_USER}}}decline"
_PASSWORD: Final = f"{{{ns.MUC}}}password"


class Conference(Service):
    """All rooms.

    Attributes:
        rooms: Rooms by address.
    """

    def __init__(self, domain: Domain) -> None:
        self.rooms: dict[str, Room] = {}
        handlers: Handlers = {
            ("get", muc_admin.ADMIN): lambda it, child: muc_admin.listed(self, it, child),
            ("set", muc_admin.ADMIN): lambda it, child: muc_admin.change(self, it, child),
            ("get", muc_admin.OWNER): lambda it, child: muc_admin.form_for(self, it, child),
            ("set", muc_admin.OWNER): lambda it, child: muc_admin.configure(self, it, child),
            ("get", mam.QUERY): lambda _stanza, _child: mam.query_form(),
            ("set", mam.QUERY): self._query_archive,
        }
        super().__init__(domain, "conference", handlers)

    def presence(self, stanza: Incoming) -> None:
        """Let a client enter, leave, or change its nickname or its presence."""
        kind = stanza.type
        room = self.rooms.get(stanza.to.bare)
        occupant = room.by_jid.get(stanza.sender) if room is not None else None
        if kind in ("unavailable", "error"):
            if room is not None and occupant is not None:
                # A client that answers with errors is gone without having left.
                room.leave(occupant, shown_of(stanza) if kind == "unavailable" else "")
                self.close_if_empty(room)
        elif kind is not None:
            raise StanzaFailure("service-unavailable")
        elif not stanza.to.local or not stanza.to.resource:
            raise StanzaFailure("jid-malformed")
        elif room is None or occupant is None:
            self._enter(room, stanza)
        elif occupant.nick != stanza.to.resource:
            refuse_if(stanza.to.resource in room.occupants, "conflict")
            room.rename(occupant, stanza.to.resource)
        else:
            occupant.shown = shown_of(stanza)
            if stanza.tree.find(JOIN) is not None:
                room.welcome(occupant, stanza)  # it has lost its state and enters again
            else:
                room.show(occupant, list(room.occupants.values()))

    def message(self, stanza: Incoming) -> None:
        """Process a message to the room, to one occupant, or an invitation."""
        room = self.room(stanza.to.bare)
        occupant = room.by_jid.get(stanza.sender)
        kind = stanza.type
        if kind == "error":
            return  # a reaction to a stanza from the room; the occupant stays
        if stanza.to.resource:
            self._whisper(room, occupant, stanza)
        elif kind == "groupchat":
            self._say(room, required(occupant, "not-acceptable"), stanza)
        else:
            self._mediate(room, stanza)

    def answered(self, stanza: Incoming) -> None:
        """Pass on an occupant's answer to another occupant's request."""
        room = self.rooms.get(stanza.to.bare)
        if room is not None and stanza.to.resource:
            self._pass_on(room, stanza)

    def request(self, stanza: Incoming) -> None:
        """Process a request to the service, to a room, or to an occupant."""
        if not stanza.to.resource:
            super().request(stanza)
            return
        room = self.room(stanza.to.bare)
        sender = required(room.by_jid.get(stanza.sender), "not-acceptable")
        if sender.nick == stanza.to.resource and only_child(stanza.tree).tag == PING:
            super().request(stanza)  # a self-ping: "am I still in?" (XEP-0410)
        else:
            refuse_if(not self._pass_on(room, stanza), "item-not-found")

    def room(self, jid: str) -> Room:
        """Return the room with that address.

        Raises:
            StanzaFailure: There is no such room.
        """
        return required(self.rooms.get(jid), "item-not-found")

    def close_if_empty(self, room: Room) -> None:
        """Remove a room without occupants, unless it is persistent."""
        if not room.occupants and not room.config.persistent:
            self.forget(room)

    def forget(self, room: Room) -> None:
        """Remove a room and its archive."""
        if self.rooms.pop(room.jid, None) is not None:
            self.domain.archives.drop(room.jid)

    def _enter(self, room: Room | None, stanza: Incoming) -> None:
        created = room is None
        if room is None:
            refuse_if(len(self.rooms) >= self.domain.limits.rooms, "resource-constraint")
            room = Room(self.domain, stanza.to.bare)
            room.affiliations[stanza.sender_bare] = "owner"
        else:
            _check_entry(room, stanza)
        self.rooms[room.jid] = room
        room.enter(stanza, stanza.to.resource, created=created)

    def _say(self, room: Room, occupant: Occupant, stanza: Incoming) -> None:
        refuse_if(occupant.role == "visitor", "forbidden")
        said = opened("message", stanza.attrs, stanza.raw, from_=f"{room.jid}/{occupant.nick}")
        if b"<subject" in stanza.raw:
            tree = stanza.tree
            if tree.find(_SUBJECT) is not None and tree.find(_BODY) is None:
                may_change = occupant.role == "moderator" or room.config.change_subject
                refuse_if(not may_change, "forbidden")
                room.set_subject(said, occupant)
                return
        room.say(said, occupant)

    def _whisper(self, room: Room, sender: Occupant | None, stanza: Incoming) -> None:
        """Pass on a private message (XEP-0045 section 7.5)."""
        refuse_if(sender is None, "not-acceptable")
        refuse_if(stanza.type == "groupchat", "bad-request")
        passed = self._pass_on(room, stanza, f"<x xmlns='{ns.MUC_USER}'/>".encode())
        refuse_if(not passed, "item-not-found")

    def _pass_on(self, room: Room, stanza: Incoming, child: bytes = b"") -> bool:
        """Pass a stanza on to the addressed occupant; return whether there is one."""
        sender = room.by_jid.get(stanza.sender)
        target = room.occupants.get(stanza.to.resource)
        if sender is None or target is None:
            return False
        kind = stanza.kind
        head, inner = opened(kind, stanza.attrs, stanza.raw, from_=f"{room.jid}/{sender.nick}")
        if child and ns.MUC_USER.encode() in inner:
            child = b""  # the sender has marked it already
        end = b"</" + kind.encode() + b">"
        return self.domain.send(target.jid, head + target.to + b">" + inner + child + end)

    def _mediate(self, room: Room, stanza: Incoming) -> None:
        """Pass on invitations and refusals in the room's name (XEP-0045 section 7.8.2)."""
        x = stanza.tree.find(_X)
        found = [child for child in x if child.tag in (_INVITE, _DECLINE)] if x is not None else []
        refuse_if(len(found) != 1, "bad-request")
        child = found[0]
        target = named(child.get("to"))
        sender = stanza.sender_bare
        if child.tag == _INVITE:
            self._check_invitation(room, stanza, target.bare)
        reason = "".join(serialise(part, ns.MUC_USER, inherit=False) for part in child)
        name = child.tag.rpartition("}")[2]
        password = ""
        if name == "invite" and room.config.protected:
            password = f"<password>{escape(room.config.password)}</password>"
        head = attributes(from_=room.jid, to=target.full, id=stanza.attrs.get("id"))
        delivery.to_user(
            self.domain,
            target.bare,
            f"<message{head}><x xmlns='{ns.MUC_USER}'><{name}{attributes(from_=sender)}>"
            f"{reason}</{name}>{password}</x></message>".encode(),
        )

    def _check_invitation(self, room: Room, stanza: Incoming, target: str) -> None:
        sender = required(room.by_jid.get(stanza.sender), "not-acceptable")
        if not room.config.members_only:
            return
        refuse_if(sender.role != "moderator" and not room.config.allow_invites, "forbidden")
        if room.affiliation(target) == "none":
            muc_admin.affiliate(self, room, target, "member")

    def _info(self, stanza: Incoming, child: Element) -> str:
        refuse_if(child.get("node"), "item-not-found")
        features = [ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PING]
        if self.domain.archives.on:
            features.append(ns.MAM)
        if not stanza.to.local:
            name = ("conference", "text", "amoc xmppd: rooms")
            return disco_info([name], [*features, ns.MUC, ns.RSM])
        room = self.room(stanza.to.bare)
        features += [*room_features(room.config), ns.MUC_ADMIN, ns.MUC_OWNER]
        form = room_info(room.config, len(room.occupants))
        return disco_info([("conference", "text", room.config.name)], features, form)

    def _items(self, stanza: Incoming, child: Element) -> str:
        if stanza.to.local:
            room = self.room(stanza.to.bare)
            shown = room.config.public or stanza.sender in room.by_jid
            names = [(f"{room.jid}/{nick}", nick) for nick in room.occupants] if shown else []
        else:
            rooms = [room for room in self.rooms.values() if room.config.public]
            names = [(room.jid, room.config.name or room.jid.partition("@")[0]) for room in rooms]
        page = Paging.of(child, self.domain.limits.page).cut(names, lambda item: item[0])
        items = "".join(f"<item{attributes(jid=jid, name=name)}/>" for jid, name in page.items)
        return f"<query xmlns='{ns.DISCO_ITEMS}'>{items}{rsm(page, child)}</query>"

    def _query_archive(self, stanza: Incoming, child: Element) -> str:
        room = self.room(stanza.to.bare)
        member = room.affiliation(stanza.sender_bare)
        inside = stanza.sender in room.by_jid
        outside = room.config.members_only and member == "none" and not inside
        refuse_if(member == "outcast" or outside, "forbidden")
        return mam.query(self.domain, room.jid, stanza.sender, room.jid, child)


def _check_entry(room: Room, stanza: Incoming) -> None:
    """Check that a client may enter (XEP-0045 section 7.2).

    Raises:
        StanzaFailure: It may not; the condition gives the reason.
    """
    affiliation = room.affiliation(stanza.sender_bare)
    refuse_if(affiliation == "outcast", "forbidden")
    refuse_if(room.config.members_only and affiliation == "none", "registration-required")
    if room.config.protected and affiliation != "owner":
        given = stanza.tree.findtext(f"{JOIN}/{_PASSWORD}")
        refuse_if(given != room.config.password, "not-authorized")
    refuse_if(stanza.to.resource in room.occupants, "conflict")
    privileged = affiliation in ("owner", "admin")
    is_full = len(room.occupants) >= room.config.max_occupants
    refuse_if(is_full and not privileged, "service-unavailable")
