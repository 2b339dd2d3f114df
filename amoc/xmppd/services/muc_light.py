"""Light rooms (MongooseIM's MUC light): the service ``muclight.<domain>``.

A light room has members instead of occupants. Presence plays no part. A message is delivered to all
members that are connected, and stored for the others.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import iq_result
from amoc.xmpp.wire.xml_text import attributes, escape
from amoc.xmppd import delivery
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.rewrite import opened, stamp
from amoc.xmppd.services import mam
from amoc.xmppd.services.forms import MAX_TEXT
from amoc.xmppd.services.paging import Paging, rsm
from amoc.xmppd.services.service import Handlers, Incoming, Service, disco_info, named

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

NS_MUC_LIGHT: Final = "urn:xmpp:muclight:0"
_CREATE: Final = f"{{{ns.MUC_LIGHT_CREATE}}}"
_AFFILIATIONS: Final = f"{{{ns.MUC_LIGHT_AFFILIATIONS}}}"
_CONFIGURATION: Final = f"{{{ns.MUC_LIGHT_CONFIGURATION}}}"
_MAX_SETTINGS: Final = 20


@dataclass(slots=True, eq=False)
class LightRoom:
    """One light room.

    Attributes:
        jid: Its address.
        members: owner or member, by bare address, the owner first.
        settings: Its configuration, such as ``roomname`` and ``subject``.
        version: Identifies its current state.
    """

    jid: str
    settings: dict[str, str]
    members: dict[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: secrets.token_hex(8))

    def changed(self) -> str:
        """Note a change; return the versions before and after it, as markup."""
        old, self.version = self.version, secrets.token_hex(8)
        return f"<prev-version>{old}</prev-version>{self.shown_version()}"

    def shown_version(self) -> str:
        """Return the version as markup."""
        return f"<version>{self.version}</version>"


class LightRooms(Service):
    """All light rooms.

    Attributes:
        rooms: Rooms by address.
        rooms_of: Each member's rooms, in the order of joining, by the member's bare address.
    """

    def __init__(self, domain: Domain) -> None:
        self.rooms: dict[str, LightRoom] = {}
        self.rooms_of: dict[str, dict[LightRoom, None]] = {}
        handlers: Handlers = {
            ("set", f"{_CREATE}query"): self._create,
            ("get", f"{_AFFILIATIONS}query"): self._members,
            ("set", f"{_AFFILIATIONS}query"): self._change_members,
            ("get", f"{_CONFIGURATION}query"): self._settings,
            ("set", f"{_CONFIGURATION}query"): self._configure,
            ("get", f"{{{ns.MUC_LIGHT_INFO}}}query"): self._all,
            ("set", f"{{{ns.MUC_LIGHT_DESTROY}}}query"): self._destroy,
            ("get", mam.QUERY): lambda _stanza, _child: mam.query_form(),
            ("set", mam.QUERY): self._query_archive,
        }
        super().__init__(domain, "muclight", handlers)

    def message(self, stanza: Incoming) -> None:
        """Process a message to all members."""
        if stanza.type == "error":
            return
        refuse_if(stanza.type != "groupchat", "bad-request")
        room = self._room(stanza)
        sender = f"{room.jid}/{stanza.sender_bare}"
        said = opened("message", stanza.attrs, stanza.raw, from_=sender)
        mark = self.domain.archives.add_said(room.jid, sender, said, self.domain.now_us())
        for jid in room.members:
            message = said.head + stamp({"to": jid}) + b">" + said.inner + mark + b"</message>"
            delivery.to_all(self.domain, jid, message)

    def presence(self, stanza: Incoming) -> None:
        """Refuse presence, which light rooms do not have."""
        refuse_if(stanza.type is None, "feature-not-implemented")

    def request(self, stanza: Incoming) -> None:
        """Process a request to the service or a room; a room without a name gets one."""
        unnamed = not stanza.to.local and stanza.tree.find(f"{_CREATE}query") is not None
        if not unnamed:
            super().request(stanza)
            return
        stanza.to = stanza.to._replace(local=f"room{self.domain.next_serial()}")
        payload = self.serve(stanza)
        self.domain.send(
            stanza.sender,
            iq_result(
                to=stanza.sender, from_=stanza.to.bare, id_=stanza.attrs["id"], payload=payload
            ),
        )

    def _create(self, stanza: Incoming, query: Element) -> str:
        refuse_if(stanza.to.bare in self.rooms, "conflict")
        refuse_if(len(self.rooms) >= self.domain.limits.rooms, "resource-constraint")
        wanted = _users(query.find(f"{_CREATE}occupants"), f"{_CREATE}user")
        given = _given(query.find(f"{_CREATE}configuration"))
        room = LightRoom(stanza.to.bare, {"roomname": "Untitled", "subject": "", **given})
        wanted = {jid: what for jid, what in wanted.items() if what == "member"}
        wanted.pop(stanza.sender_bare, None)
        self._check_size(1 + len(wanted))
        self.rooms[room.jid] = room
        self._affiliate(room, {stanza.sender_bare: "owner", **wanted})
        return ""

    def _change_members(self, stanza: Incoming, query: Element) -> str:
        room = self._room(stanza)
        changes = _users(query, f"{_AFFILIATIONS}user")
        sender = stanza.sender_bare
        refuse_if(not changes, "bad-request")
        refuse_if(room.members[sender] != "owner" and changes != {sender: "none"}, "not-allowed")
        changes = {jid: what for jid, what in changes.items() if room.members.get(jid) != what}
        self._check_size(len(room.members.keys() | changes.keys()))
        self._affiliate(room, changes)
        return ""

    def _affiliate(self, room: LightRoom, changes: dict[str, str]) -> None:
        """Change members; announce the change to all, and the member list to newcomers."""
        before = dict(room.members)
        for jid, what in list(changes.items()):
            if what == "none":
                room.members.pop(jid, None)
                continue
            if what == "owner":  # there is exactly one
                for other, theirs in room.members.items():
                    if theirs == "owner" and other != jid:
                        room.members[other] = changes[other] = "member"
            room.members[jid] = what
        if room.members and "owner" not in room.members.values():
            heir = next(iter(room.members))
            room.members[heir] = changes[heir] = "owner"
        for jid in room.members.keys() - before.keys():
            self.rooms_of.setdefault(jid, {})[room] = None
        for jid in before.keys() - room.members.keys():
            self._left(room, jid)
        versions = room.changed()
        news = {jid: what for jid, what in changes.items() if what != "none" or jid in before}
        for jid in {**before, **room.members}:
            if jid in before:
                told = news if jid in room.members else {jid: "none"}
                x = _markup(ns.MUC_LIGHT_AFFILIATIONS, versions + _listed(told))
            else:
                content = room.shown_version() + _listed(room.members)
                x = _markup(ns.MUC_LIGHT_AFFILIATIONS, content)
            self._send(room, jid, x)
        if not room.members:
            self._forget(room)

    def _members(self, stanza: Incoming, _query: Element) -> str:
        room = self._room(stanza)
        content = room.shown_version() + _listed(room.members)
        return f"<query xmlns='{ns.MUC_LIGHT_AFFILIATIONS}'>{content}</query>"

    def _settings(self, stanza: Incoming, _query: Element) -> str:
        room = self._room(stanza)
        content = room.shown_version() + _shown(room.settings)
        return f"<query xmlns='{ns.MUC_LIGHT_CONFIGURATION}'>{content}</query>"

    def _configure(self, stanza: Incoming, query: Element) -> str:
        room = self._room(stanza)
        changes = _given(query)
        if room.members[stanza.sender_bare] != "owner" and set(changes) != {"subject"}:
            raise StanzaFailure("not-allowed")
        refuse_if(len(room.settings.keys() | changes.keys()) > _MAX_SETTINGS, "resource-constraint")
        room.settings |= changes
        x = _markup(ns.MUC_LIGHT_CONFIGURATION, room.changed() + _shown(changes))
        for jid in room.members:
            self._send(room, jid, x)
        return ""

    def _all(self, stanza: Incoming, _query: Element) -> str:
        room = self._room(stanza)
        content = (
            f"{room.shown_version()}<configuration>{_shown(room.settings)}</configuration>"
            f"<occupants>{_listed(room.members)}</occupants>"
        )
        return f"<query xmlns='{ns.MUC_LIGHT_INFO}'>{content}</query>"

    def _destroy(self, stanza: Incoming, _query: Element) -> str:
        room = self._room(stanza)
        refuse_if(room.members[stanza.sender_bare] != "owner", "not-allowed")
        for jid in room.members:
            gone = _markup(ns.MUC_LIGHT_AFFILIATIONS, _listed({jid: "none"}))
            self._send(room, jid, gone + f"<x xmlns='{ns.MUC_LIGHT_DESTROY}'/>")
        self._forget(room)
        return ""

    def _query_archive(self, stanza: Incoming, child: Element) -> str:
        room = self._room(stanza)
        return mam.query(self.domain, room.jid, stanza.sender, room.jid, child)

    def _info(self, stanza: Incoming, child: Element) -> str:
        refuse_if(child.get("node"), "item-not-found")
        if stanza.to.local:
            self._room(stanza)
        features = [ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PING, ns.RSM, NS_MUC_LIGHT]
        if self.domain.archives.on:
            features.append(ns.MAM)
        return disco_info([("conference", "text", "amoc xmppd: light rooms")], features)

    def _items(self, stanza: Incoming, child: Element) -> str:
        refuse_if(stanza.to.local, "feature-not-implemented")
        rooms = list(self.rooms_of.get(stanza.sender_bare, ()))
        page = Paging.of(child, self.domain.limits.page).cut(rooms, lambda room: room.jid)
        items = "".join(
            f"<item{attributes(jid=it.jid, name=it.settings['roomname'], version=it.version)}/>"
            for it in page.items
        )
        return f"<query xmlns='{ns.DISCO_ITEMS}'>{items}{rsm(page, child)}</query>"

    def _room(self, stanza: Incoming) -> LightRoom:
        """Return the room that a member's stanza is for; for others it does not exist."""
        room = required(self.rooms.get(stanza.to.bare), "item-not-found")
        refuse_if(stanza.sender_bare not in room.members, "item-not-found")
        return room

    def _check_size(self, count: int) -> None:
        refuse_if(count > self.domain.limits.occupants, "resource-constraint")

    def _left(self, room: LightRoom, jid: str) -> None:
        rooms = self.rooms_of[jid]
        del rooms[room]
        if not rooms:
            del self.rooms_of[jid]

    def _forget(self, room: LightRoom) -> None:
        for jid in room.members:
            self._left(room, jid)
        del self.rooms[room.jid]
        self.domain.archives.drop(room.jid)

    def _send(self, room: LightRoom, jid: str, x: str) -> None:
        id_ = secrets.token_hex(8)
        head = attributes(type="groupchat", from_=room.jid, to=jid, id=id_)
        delivery.to_all(self.domain, jid, f"<message{head}>{x}<body/></message>".encode())


def _users(parent: Element | None, tag: str) -> dict[str, str]:
    """Return the affiliations in a request, by bare address."""
    found = {}
    for user in parent.iterfind(tag) if parent is not None else ():
        what = user.get("affiliation")
        if what not in ("owner", "member", "none"):
            raise StanzaFailure("bad-request")
        found[named((user.text or "").strip()).bare] = what
    refuse_if(list(found.values()).count("owner") > 1, "bad-request")
    return found


def _given(parent: Element | None) -> dict[str, str]:
    """Return the settings in a request."""
    given = {}
    for child in parent if parent is not None else ():
        name, text = child.tag.rpartition("}")[2], child.text or ""
        if name == "version":
            continue
        if max(len(name), len(text)) > MAX_TEXT or not name.isidentifier():
            raise StanzaFailure("not-acceptable")
        given[name] = text
    refuse_if(len(given) > _MAX_SETTINGS, "resource-constraint")
    return given


def _listed(members: dict[str, str]) -> str:
    return "".join(
        f"<user affiliation='{what}'>{escape(jid)}</user>" for jid, what in members.items()
    )


def _shown(settings: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in settings.items())


def _markup(namespace: str, content: str) -> str:
    return f"<x xmlns='{namespace}'>{content}</x>"
