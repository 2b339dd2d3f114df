"""Pure. How a room is configured (XEP-0045 section 10.2): the form, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms as data_forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.services.forms import Field, Setting, changes, form, shown

ROOM_CONFIG: Final = f"{ns.MUC}#roomconfig"
_MAX_HISTORY: Final = 1000


@dataclass(frozen=True, slots=True)
class Config:
    """How a room behaves."""

    name: str = ""
    description: str = ""
    persistent: bool = False
    """Whether it outlives its last occupant."""
    public: bool = True
    """Whether it is listed."""
    members_only: bool = False
    moderated: bool = False
    """Whether those without affiliation may only read."""
    protected: bool = False
    """Whether `password` is asked for."""
    password: str = ""
    max_occupants: int = 10_000
    whois: str = "moderators"
    """Who sees the occupants' addresses: moderators or anyone."""
    change_subject: bool = False
    """Whether those that are not moderators may change the subject."""
    allow_invites: bool = True
    """Whether members may invite others to a room that is for members only."""
    history: int = 20
    """How many messages a newcomer gets, unless it asks for fewer."""


_SETTINGS: Final = tuple(
    Setting(f"muc#roomconfig_{name}", attribute, label, options)
    for name, attribute, label, options in (
        ("roomname", "name", "Name", ()),
        ("roomdesc", "description", "Description", ()),
        ("persistentroom", "persistent", "Keep the room when everybody has left", ()),
        ("publicroom", "public", "List the room", ()),
        ("membersonly", "members_only", "Only members may enter", ()),
        ("moderatedroom", "moderated", "Only those with voice may write", ()),
        ("passwordprotectedroom", "protected", "A password is needed to enter", ()),
        ("roomsecret", "password", "Password", ()),
        ("maxusers", "max_occupants", "Most occupants", ()),
        ("whois", "whois", "Who sees the occupants' addresses", ("moderators", "anyone")),
        ("changesubject", "change_subject", "Everybody may change the subject", ()),
        ("allowinvites", "allow_invites", "Members may invite", ()),
        ("historylength", "history", "Messages for a newcomer", ()),  # prosody's spelling
    )
)


def config_form(config: Config) -> str:
    """The form with the values of `config`."""
    return form("form", ROOM_CONFIG, shown(config, _SETTINGS))


def configured(config: Config, x: Element, most_occupants: int) -> Config:
    """`config` with what a form says.

    Args:
        config: As it was.
        x: The form, filled in; an empty one changes nothing.
        most_occupants: The most that `max_occupants` may be.

    Raises:
        StanzaFailure: A value makes no sense.
    """
    try:
        changed = replace(config, **changes(config, _SETTINGS, data_forms.values(x)))
    except ValueError:
        raise StanzaFailure("not-acceptable") from None
    refuse_if(changed.protected and not changed.password, "not-acceptable")
    return replace(
        changed,
        max_occupants=min(max(1, changed.max_occupants), most_occupants),
        history=min(changed.history, _MAX_HISTORY),
    )


def room_features(config: Config) -> list[str]:
    """What disco says about a room (XEP-0045 section 15.3)."""
    return [
        ns.MUC,
        "muc_public" if config.public else "muc_hidden",
        "muc_persistent" if config.persistent else "muc_temporary",
        "muc_membersonly" if config.members_only else "muc_open",
        "muc_moderated" if config.moderated else "muc_unmoderated",
        "muc_passwordprotected" if config.protected else "muc_unsecured",
        "muc_nonanonymous" if config.whois == "anyone" else "muc_semianonymous",
    ]


def room_info(config: Config, occupants: int) -> str:
    """A room's extended information (XEP-0045 section 6.4), as markup."""
    return form(
        "result",
        f"{ns.MUC}#roominfo",
        [
            Field("muc#roominfo_description", (config.description,)),
            Field("muc#roominfo_occupants", (str(occupants),)),
        ],
    )
