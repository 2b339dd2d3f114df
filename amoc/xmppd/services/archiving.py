"""A user's own archive: reading it, and configuring what is archived (XEP-0313, XEP-0441)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.answers import refuse_if
from amoc.xmppd.kept import Preferences
from amoc.xmppd.services import mam
from amoc.xmppd.services.service import named

if TYPE_CHECKING:
    from amoc.xmppd.session import Session

_PREFERENCES: Final = f"{{{ns.MAM}}}prefs"
_DEFAULTS: Final = ("always", "never", "roster")
_USUAL: Final = Preferences("always")


def _on(session: Session) -> None:
    refuse_if(not session.domain.archives.on, "service-unavailable")


def _form(session: Session, _child: Element) -> str:
    _on(session)
    return mam.query_form()


def _query(session: Session, child: Element) -> str:
    _on(session)
    return mam.query(session.domain, session.user.jid, session.jid, None, child)


def _metadata(session: Session, _child: Element) -> str:
    _on(session)
    return mam.metadata(session.domain, session.user.jid)


def _preferences(session: Session, _child: Element) -> str:
    _on(session)
    kept = session.user.kept
    return _shown((kept.preferences if kept is not None else None) or _USUAL)


def _prefer(session: Session, child: Element) -> str:
    _on(session)
    default = child.get("default", "always")
    refuse_if(default not in _DEFAULTS, "bad-request")
    always, never = (
        frozenset(named(jid.text).bare for jid in child.iterfind(f"{{{ns.MAM}}}{name}/*"))
        for name in ("always", "never")
    )
    refuse_if(max(len(always), len(never)) > session.domain.limits.blocked, "resource-constraint")
    preferences = Preferences(default, always, never)
    usual = default == "always" and not never
    session.user.keep().preferences = None if usual else preferences
    session.user.update_special()
    return _shown(preferences)


def _shown(preferences: Preferences) -> str:
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{escape(jid)}</jid>' for jid in sorted(jids))}</{name}>"
        for name, jids in (("always", preferences.always), ("never", preferences.never))
    )
    return f"<prefs xmlns='{ns.MAM}' default='{preferences.default}'>{lists}</prefs>"


HANDLERS: Final = {
    ("get", mam.QUERY): _form,
    ("set", mam.QUERY): _query,
    ("get", mam.METADATA): _metadata,
    ("get", _PREFERENCES): _preferences,
    ("set", _PREFERENCES): _prefer,
}
