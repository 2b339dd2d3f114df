"""Administration of a room (XEP-0045 sections 8 to 10): roles, affiliations, configuration.

Affiliations and roles are ranked. A user may change those who rank below it, to a rank below its
own. An owner may do everything except leave a room without an owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.services import muc_room
from amoc.xmppd.services.forms import FORM
from amoc.xmppd.services.muc_config import config_form, configured
from amoc.xmppd.services.service import Incoming, named

if TYPE_CHECKING:
    from amoc.xmppd.services.muc import Conference

ADMIN: Final = f"{{{ns.MUC_ADMIN}}}query"
OWNER: Final = f"{{{ns.MUC_OWNER}}}query"
_ITEM: Final = f"{{{ns.MUC_ADMIN}}}item"
_REASON: Final = f"{{{ns.MUC_ADMIN}}}reason"
_DESTROY: Final = f"{{{ns.MUC_OWNER}}}destroy"
_OWNER_REASON: Final = f"{{{ns.MUC_OWNER}}}reason"

_RANKS: Final = {"outcast": 0, "none": 1, "member": 2, "admin": 3, "owner": 4}
_ROLES: Final = ("none", "visitor", "participant", "moderator")


def listed(conference: Conference, stanza: Incoming, query: Element) -> str:
    """Return the users with one affiliation or role (sections 9.5, 9.8, 10.5)."""
    room = conference.room(stanza.to.bare)
    item = required(query.find(_ITEM), "bad-request")
    affiliation, role = item.get("affiliation"), item.get("role")
    if affiliation is not None:
        refuse_if(affiliation not in _RANKS, "bad-request")
        _need(room, stanza, "admin" if affiliation != "member" else "none")
        found = [
            attributes(affiliation=affiliation, jid=bare)
            for bare, theirs in room.affiliations.items()
            if theirs == affiliation
        ]
    else:
        _moderator(room, stanza)
        found = [
            attributes(
                affiliation=room.affiliation(one.bare), role=one.role, nick=one.nick, jid=one.jid
            )
            for one in room.occupants.values()
            if one.role == role
        ]
    items = "".join(f"<item{item}/>" for item in found)
    return f"<query xmlns='{ns.MUC_ADMIN}'>{items}</query>"


def change(conference: Conference, stanza: Incoming, query: Element) -> str:
    """Change roles and affiliations; all items are checked before the first is applied."""
    room = conference.room(stanza.to.bare)
    items = query.findall(_ITEM)
    refuse_if(not items, "bad-request")
    steps = [_step(room, stanza, item) for item in items]
    for target, kind, value, extra in steps:
        if kind == "role":
            occupant = room.occupants.get(target)
            if occupant is not None:
                _set_role(conference, room, occupant, value, extra)
        else:
            affiliate(conference, room, target, value, extra)
    return ""


def _step(room: muc_room.Room, stanza: Incoming, item: Element) -> tuple[str, str, str, str]:
    """Check one change; return its target, its kind, the value, and the reason as markup."""
    mine = _RANKS[room.affiliation(stanza.sender_bare)]
    reason = item.findtext(_REASON)
    extra = f"<actor{attributes(jid=stanza.sender_bare)}/>"
    if reason:
        extra += f"<reason>{escape(reason)}</reason>"
    role, affiliation, nick = item.get("role"), item.get("affiliation"), item.get("nick")
    if affiliation is not None:
        bare = _target(room, item.get("jid"), nick)
        theirs = _RANKS[room.affiliation(bare)]
        refuse_if(affiliation not in _RANKS, "bad-request")
        refuse_if(mine < _RANKS["admin"], "forbidden")
        if mine < _RANKS["owner"] and (mine <= theirs or mine <= _RANKS[affiliation]):
            raise StanzaFailure("not-allowed")
        owners = [one for one, what in room.affiliations.items() if what == "owner"]
        refuse_if(affiliation != "owner" and owners == [bare], "conflict")
        return bare, "affiliation", affiliation, extra
    if role not in _ROLES or nick is None:
        raise StanzaFailure("bad-request")
    _moderator(room, stanza)
    occupant = required(room.occupants.get(nick), "item-not-found")
    refuse_if(_RANKS[room.affiliation(occupant.bare)] > mine, "not-allowed")
    refuse_if(mine < _RANKS["admin"] and "moderator" in (role, occupant.role), "not-allowed")
    return nick, "role", role, extra


def affiliate(
    conference: Conference, room: muc_room.Room, bare: str, affiliation: str, extra: str = ""
) -> None:
    """Change a user's affiliation, and announce the consequences to the room."""
    if affiliation == "none":
        room.affiliations.pop(bare, None)
    else:
        known = bare in room.affiliations
        if not known and len(room.affiliations) >= conference.domain.limits.affiliations:
            raise StanzaFailure("resource-constraint")
        room.affiliations[bare] = affiliation
    for occupant in [one for one in room.occupants.values() if one.bare == bare]:
        if affiliation == "outcast":
            room.leave(occupant, codes=[muc_room.BANNED], extra=extra)
        elif affiliation == "none" and room.config.members_only:
            room.leave(occupant, codes=[muc_room.UNAFFILIATED], extra=extra)
        else:
            occupant.role = room.usual_role(bare)
            room.show(occupant, list(room.occupants.values()), extra=extra)
    conference.close_if_empty(room)


def form_for(conference: Conference, stanza: Incoming, _query: Element) -> str:
    """Return the room's configuration form, for its owner (section 10.2)."""
    room = conference.room(stanza.to.bare)
    _need(room, stanza, "owner")
    return f"<query xmlns='{ns.MUC_OWNER}'>{config_form(room.config)}</query>"


def configure(conference: Conference, stanza: Incoming, query: Element) -> str:
    """Configure or destroy a room (sections 10.1, 10.2 and 10.9)."""
    room = conference.room(stanza.to.bare)
    _need(room, stanza, "owner")
    destroy, form = query.find(_DESTROY), query.find(FORM)
    if destroy is not None:
        _destroy(conference, room, destroy.get("jid"), destroy.findtext(_OWNER_REASON))
    elif form is None:
        raise StanzaFailure("bad-request")
    elif form.get("type") == "cancel":
        if room.unconfigured:
            _destroy(conference, room, None, None)
    elif form.get("type") == "submit":
        most = conference.domain.limits.occupants
        room.config = configured(room.config, form, most)
        room.unconfigured = False
        if room.config.members_only:
            for occupant in list(room.occupants.values()):
                if room.affiliation(occupant.bare) == "none":
                    room.leave(occupant, codes=[muc_room.NOW_MEMBERS_ONLY])
        _announce_configuration(conference, room)
        conference.close_if_empty(room)
    else:
        raise StanzaFailure("bad-request")
    return ""


def _announce_configuration(conference: Conference, room: muc_room.Room) -> None:
    """Announce to the room that its configuration has changed (section 10.2.1)."""
    for occupant in room.occupants.values():
        head = attributes(type="groupchat", from_=room.jid, to=occupant.jid)
        conference.domain.send(
            occupant.jid,
            f"<message{head}><x xmlns='{ns.MUC_USER}'><status code='104'/></x></message>".encode(),
        )


def _destroy(
    conference: Conference, room: muc_room.Room, instead: str | None, reason: str | None
) -> None:
    why = f"<reason>{escape(reason)}</reason>" if reason else ""
    for occupant in list(room.occupants.values()):
        head = attributes(from_=f"{room.jid}/{occupant.nick}", to=occupant.jid, type="unavailable")
        conference.domain.send(
            occupant.jid,
            f"<presence{head}><x xmlns='{ns.MUC_USER}'><item affiliation='none' role='none'/>"
            f"<destroy{attributes(jid=instead)}>{why}</destroy>"
            "<status code='110'/></x></presence>".encode(),
        )
    room.occupants.clear()
    room.by_jid.clear()
    conference.forget(room)


def _set_role(
    conference: Conference, room: muc_room.Room, occupant: muc_room.Occupant, role: str, extra: str
) -> None:
    if role == "none":
        room.leave(occupant, codes=[muc_room.KICKED], extra=extra)
        conference.close_if_empty(room)
    else:
        occupant.role = role
        room.show(occupant, list(room.occupants.values()), extra=extra)


def _target(room: muc_room.Room, jid: str | None, nick: str | None) -> str:
    if jid is None and nick is not None:
        refuse_if(nick not in room.occupants, "item-not-found")
        return room.occupants[nick].bare
    return named(jid).bare


def _need(room: muc_room.Room, stanza: Incoming, least: str) -> None:
    """Raise unless the sender's affiliation ranks at least as high as `least`."""
    mine = room.affiliation(stanza.sender_bare)
    refuse_if(_RANKS[mine] < _RANKS[least], "forbidden")


def _moderator(room: muc_room.Room, stanza: Incoming) -> None:
    occupant = room.by_jid.get(stanza.sender)
    refuse_if(occupant is None or occupant.role != "moderator", "forbidden")
