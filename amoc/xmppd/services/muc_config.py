"""Pure. Configuration of a room (XEP-0045 section 10.2): the form, and applying it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmppd.answers import refuse_if
from amoc.xmppd.services.forms import Setting, changed, shown

ROOM_CONFIG: Final = f"{ns.MUC}#roomconfig"
_MAX_HISTORY: Final = 1000


@dataclass(frozen=True, slots=True)
class Config:
    """A room's configuration."""

    name: str = ""
    description: str = ""
    persistent: bool = False
    """Whether it continues to exist without occupants."""
    public: bool = True
    """Whether it is listed."""
    members_only: bool = False
    moderated: bool = False
    """Whether users without affiliation may only read."""
    protected: bool = False
    """Whether `password` is required."""
    password: str = ""
    max_occupants: int = 10_000
    whois: str = "moderators"
    """Who sees the occupants' addresses: moderators or anyone."""
    change_subject: bool = False
    """Whether users who are not moderators may change the subject."""
    allow_invites: bool = True
    """Whether members may invite others to a members-only room."""
    history: int = 20
    """Maximum number of messages that a newcomer gets; it may request fewer."""


_SETTINGS: Final = tuple(
    Setting(f"muc#roomconfig_{name}", attribute, label, options)
    for name, attribute, label, options in (
        ("roomname", "name", "Name", ()),
        ("roomdesc", "description", "Description", ()),
        ("persistentroom", "persistent", "Keep the room when everyone has left", ()),
        ("publicroom", "public", "List the room", ()),
        ("membersonly", "members_only", "Only members may enter", ()),
        ("moderatedroom", "moderated", "Only users with voice may write", ()),
        ("passwordprotectedroom", "protected", "A password is required to enter", ()),
        ("roomsecret", "password", "Password", ()),
        ("maxusers", "max_occupants", "Maximum number of occupants", ()),
        ("whois", "whois", "Who sees the occupants' addresses", ("moderators", "anyone")),
        ("changesubject", "change_subject", "Anyone may change the subject", ()),
        ("allowinvites", "allow_invites", "Members may invite", ()),
        ("historylength", "history", "Messages for a newcomer", ()),  # prosody's spelling
    )
)


def config_form(config: Config) -> str:
    """Return the form with the values of `config`."""
    return forms.form("form", ROOM_CONFIG, shown(config, _SETTINGS))


def configured(config: Config, x: Element, most_occupants: int) -> Config:
    """Return `config` with the changes in a form.

    Args:
        config: The current configuration.
        x: The filled-in form; an empty one changes nothing.
        most_occupants: Upper limit of `max_occupants`.

    Raises:
        StanzaFailure: A value is invalid.
    """
    new = changed(config, _SETTINGS, x)
    refuse_if(new.protected and not new.password, "not-acceptable")
    return replace(
        new,
        max_occupants=min(max(1, new.max_occupants), most_occupants),
        history=min(new.history, _MAX_HISTORY),
    )


def room_features(config: Config) -> list[str]:
    """Return a room's features for service discovery (XEP-0045 section 15.3)."""
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
    """Return a room's extended information (XEP-0045 section 6.4), as markup."""
    return forms.form(
        "result",
        f"{ns.MUC}#roominfo",
        [
            forms.Field("muc#roominfo_description", (config.description,)),
            forms.Field("muc#roominfo_occupants", (str(occupants),)),
        ],
    )
