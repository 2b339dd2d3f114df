"""Reading the archive of a user or a room (XEP-0313); what is archived for a user (XEP-0441)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.kept import Preferences
from amoc.xmppd.rewrite import as_child
from amoc.xmppd.services import moments
from amoc.xmppd.services.archive import Entry
from amoc.xmppd.services.forms import FORM
from amoc.xmppd.services.paging import Paging, rsm
from amoc.xmppd.services.service import named

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain
    from amoc.xmppd.session import Session

Handler = Callable[["Session", Element], str]
QUERY: Final = f"{{{ns.MAM}}}query"
METADATA: Final = f"{{{ns.MAM}}}metadata"
_PREFERENCES: Final = f"{{{ns.MAM}}}prefs"
_DEFAULTS: Final = ("always", "never", "roster")
_USUAL: Final = Preferences("always")
FEATURES: Final = (ns.MAM, f"{ns.MAM}#extended", ns.RSM)


def query_form() -> str:
    """Return the form of a query (section 4.1.4)."""
    fields = [
        forms.Field("with", kind="jid-single"),
        *(
            forms.Field(name, kind="text-single")
            for name in ("start", "end", "before-id", "after-id")
        ),
        forms.Field("ids", kind="list-multi"),
    ]
    return f"<query xmlns='{ns.MAM}'>{forms.form('form', ns.MAM, fields)}</query>"


def query(domain: Domain, owner: str, client: str, address: str | None, asked: Element) -> str:
    """Send a client a page of an archive; return the payload of the answer that follows it.

    Args:
        domain: The state shared by all connections.
        owner: Owner of the archive.
        client: The full address of the client.
        address: The address that the client has queried, from which the page is sent.
        asked: The request.

    Raises:
        StanzaFailure: The query is invalid, or names an entry that does not exist.
    """
    x = asked.find(FORM)
    wanted = forms.values(x) if x is not None else {}
    found = _matching(domain.archives.of(owner), wanted)
    page = Paging.of(asked, domain.limits.page).cut(found, lambda entry: entry.id)
    items = page.items
    if asked.find(f"{{{ns.MAM}}}flip-page") is not None:
        items = items[::-1]
    query_id = asked.get("queryid")
    head = f"<message{attributes(from_=address, to=client)}>".encode()
    for entry in items:
        result = attributes(queryid=query_id, id=entry.id)
        domain.send(
            client,
            head
            + f"<result xmlns='{ns.MAM}'{result}>".encode()
            + forwarded(entry.stanza, moments.delay(entry.moment, owner))
            + b"</result></message>",
        )
    complete = " complete='true'" if page.complete else ""
    return f"<fin xmlns='{ns.MAM}'{complete}>{rsm(page)}</fin>"


def metadata(domain: Domain, owner: str) -> str:
    """Return the first and the last entry of an archive (section 4.2)."""
    entries = domain.archives.of(owner)
    ends = ""
    if entries:
        ends = "".join(
            f"<{name} id='{entry.id}' timestamp='{moments.formatted(entry.moment)}'/>"
            for name, entry in (("start", entries[0]), ("end", entries[-1]))
        )
    return f"<metadata xmlns='{ns.MAM}'>{ends}</metadata>"


def forwarded(stanza: bytes, delay: bytes = b"") -> bytes:
    """Return a stanza wrapped for inclusion in another one (XEP-0297)."""
    head = f"<forwarded xmlns='{ns.FORWARD}'>".encode()
    return head + delay + as_child(stanza) + b"</forwarded>"


def _matching(entries: list[Entry], wanted: dict[str, list[str]]) -> list[Entry]:
    values = {name: given[0] for name, given in wanted.items() if given and name != "ids"}
    if with_ := values.get("with"):
        jid = named(with_)
        resources = None if jid.resource else f"{jid.bare}/"
        entries = [entry for entry in entries if entry.is_with(jid.full, resources)]
    try:
        first = moments.read(values["start"]) if values.get("start") else 0
        last = moments.read(values["end"]) if values.get("end") else sys.maxsize
        after = int(values.get("after-id") or 0)
        before = int(values.get("before-id") or sys.maxsize)
    except ValueError:
        raise StanzaFailure("bad-request") from None
    ids = set(wanted.get("ids", ()))
    return [
        entry
        for entry in entries
        if first <= entry.moment <= last
        and after < entry.moment < before
        and (not ids or entry.id in ids)
    ]


# A user's own archive


def _preferences(session: Session, _child: Element) -> str:
    kept = session.user.kept
    return _shown((kept.preferences if kept is not None else None) or _USUAL)


def _prefer(session: Session, child: Element) -> str:
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


def _if_on(handler: Handler) -> Handler:
    def serve(session: Session, child: Element) -> str:
        refuse_if(not session.domain.archives.on, "service-unavailable")
        return handler(session, child)

    return serve


HANDLERS: Final = {
    ("get", QUERY): _if_on(lambda _session, _child: query_form()),
    ("set", QUERY): _if_on(
        lambda session, child: query(session.domain, session.user.jid, session.jid, None, child)
    ),
    ("get", METADATA): _if_on(lambda session, _: metadata(session.domain, session.user.jid)),
    ("get", _PREFERENCES): _if_on(_preferences),
    ("set", _PREFERENCES): _if_on(_prefer),
}
