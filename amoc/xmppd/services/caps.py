"""Capabilities of clients (XEP-0115): each kind of client is asked once.

A client's presence identifies its kind by a hash of all its capabilities. An answer is remembered
for the whole kind only if it has that hash; otherwise it counts for that client alone.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.services import pep
from amoc.xmppd.services.forms import FORM

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain
    from amoc.xmppd.session import Session

_CAPS: Final = f"{{{ns.CAPS}}}c"
_CAPS_BYTES: Final = ns.CAPS.encode()
_INFO: Final = f"{{{ns.DISCO_INFO}}}query"
_ID: Final = "caps:"
_NOTIFY: Final = "+notify"
_MAX_KINDS: Final = 10_000
_MAX_NAME: Final = 1_000


class Caps:
    """The known kinds of clients, and the nodes whose events each wants."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._known: dict[str, frozenset[str]] = {}

    def announced(self, session: Session, raw: bytes) -> None:
        """Process a client's presence: find out which events it wants, and send the last ones."""
        if _CAPS_BYTES not in raw:
            return
        caps = tree(session.framer.root, raw).find(_CAPS)
        if caps is None:
            return
        kind = f"{caps.get('node', '')}#{caps.get('ver', '')}"
        known = self._known.get(kind)
        if known is not None:
            self._wants(session, known)
        elif len(kind) <= _MAX_NAME:
            head = attributes(type="get", from_=self._domain.name, to=session.jid, id=_ID + kind)
            query = f"<query xmlns='{ns.DISCO_INFO}'{attributes(node=kind)}/>"
            session.transport.write(f"<iq{head}>{query}</iq>".encode())

    def answered(self, session: Session, id_: str, raw: bytes) -> None:
        """Process a client's answer to a request from the server."""
        query = tree(session.framer.root, raw).find(_INFO)
        if query is None or not id_.startswith(_ID):
            return
        kind = id_[len(_ID) :]
        features = [child.get("var", "") for child in query if child.tag.endswith("}feature")]
        wanted = frozenset(
            feature.removesuffix(_NOTIFY) for feature in features if feature.endswith(_NOTIFY)
        )
        if kind.rpartition("#")[2] == version(query):
            if len(self._known) >= _MAX_KINDS:
                del self._known[next(iter(self._known))]
            self._known[kind] = wanted
        self._wants(session, wanted)

    def _wants(self, session: Session, nodes: frozenset[str]) -> None:
        fresh = nodes - session.notified
        session.notified = nodes
        if session.presence is not None and fresh:
            pep.send_last_items(session, fresh)


def version(query: Element) -> str:
    """Return the hash of a client's capabilities (section 5.1), with SHA-1, as all clients use."""
    identities = sorted(
        "/".join((it.get("category", ""), it.get("type", ""), it.get(LANG, ""), it.get("name", "")))
        for it in query
        if it.tag.endswith("}identity")
    )
    features = sorted({it.get("var", "") for it in query if it.tag.endswith("}feature")})
    text = "".join(f"{part}<" for part in [*identities, *features])
    extended = [forms.values(x) for x in query.iterfind(FORM)]
    for values in sorted(extended, key=lambda it: it.get("FORM_TYPE", [])):
        text += "".join(f"{value}<" for value in values.pop("FORM_TYPE", []))
        for name in sorted(values):
            text += "".join(f"{part}<" for part in [name, *sorted(values[name])])
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()  # noqa: S324 - no secret
