"""In-band registration (XEP-0077): create an account before login, change or remove it later."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import iq_result, stanza_error
from amoc.xmpp.wire.namespaces import IQ
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.jids import JidError, prepare_local

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain
    from amoc.xmppd.session import Session

QUERY = f"{{{ns.REGISTER}}}query"


def is_registration(tree: Element) -> bool:
    """Return whether it is a registration iq, the only kind of iq accepted before login."""
    if tree.tag != IQ or tree.get("type") not in ("get", "set"):
        return False
    return len(tree) == 1 and tree[0].tag == QUERY


def before_login(domain: Domain, tree: Element) -> bytes:
    """Answer a client that has not logged in (XEP-0077 section 3.1)."""
    id_ = tree.get("id")
    try:
        if id_ is None:
            raise StanzaFailure("bad-request")
        if tree.get("type") == "get":
            payload = _form(None)
        else:
            domain.accounts.register(*_fields(tree[0]))
            domain.counts.registrations += 1
            payload = ""
    except StanzaFailure as failure:
        return stanza_error("iq", failure.condition, to=None, from_=domain.name, id_=id_)
    return iq_result(to=None, from_=domain.name, id_=id_, payload=payload)


def form(session: Session, _query: Element) -> str:
    """Return the registration form for a client that has logged in."""
    return _form(session.user.local)


def change(session: Session, query: Element) -> str:
    """Change the password or remove the account (XEP-0077 sections 3.2 and 3.3).

    Raises:
        StanzaFailure: The request is for something else, or for another user's account.
    """
    accounts = session.domain.accounts
    local = session.user.local
    if query.find(f"{{{ns.REGISTER}}}remove") is not None:
        accounts.remove(local)
        session.user.removed = True
        return ""
    username, password = _fields(query)
    refuse_if(username != local, "not-allowed")
    accounts.change_password(local, password)
    return ""


def _form(username: str | None) -> str:
    known = "" if username is None else f"<registered/><username>{escape(username)}</username>"
    fields = known or "<instructions>Choose a user name and a password</instructions><username/>"
    return f"<query xmlns='{ns.REGISTER}'>{fields}<password/></query>"


def _fields(query: Element) -> tuple[str, str]:
    username = query.findtext(f"{{{ns.REGISTER}}}username")
    password = query.findtext(f"{{{ns.REGISTER}}}password")
    if not username or not password:
        raise StanzaFailure("not-acceptable")
    try:
        return prepare_local(username), password
    except JidError:
        raise StanzaFailure("not-acceptable") from None
