"""A part of the server with its own address, and the stanzas sent to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import iq_result, stanza_error
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.jids import Jid, JidError, parse

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

DISCO_INFO = f"{{{ns.DISCO_INFO}}}query"
DISCO_ITEMS = f"{{{ns.DISCO_ITEMS}}}query"
PING = f"{{{ns.PING}}}ping"
T = TypeVar("T")


@dataclass(slots=True)
class Incoming:
    """A stanza for a service.

    Attributes:
        kind: Its name: message, presence or iq.
        sender: The full address of the client that sent it.
        to: Its recipient.
        attrs: Its attributes, as the parser gave them.
        raw: Its bytes, valid in any stream of this server.
    """

    kind: str
    sender: str
    to: Jid
    attrs: dict[str, str]
    raw: bytes
    _tree: Element | None = None

    @property
    def type(self) -> str | None:
        """Its type attribute."""
        return self.attrs.get("type")

    @property
    def sender_bare(self) -> str:
        """The user that sent it, as a bare address."""
        return self.sender.partition("/")[0]

    @property
    def tree(self) -> Element:
        """The stanza as a tree, created on first use."""
        if self._tree is None:
            self._tree = tree(None, self.raw)
        return self._tree


Handler = Callable[[Incoming, Element], str]
"""Serves one kind of request: returns the answer's payload as markup, or raises StanzaFailure."""
Handlers = dict[tuple[str, str], Handler]
"""Handlers of requests, by their type and the tag of their payload."""


class Service:
    """A part of the server with its own address.

    Attributes:
        domain: The state shared by all connections.
        name: Its address.
        handlers: Handlers of requests, by type and by the tag of the payload.
    """

    def __init__(self, domain: Domain, prefix: str, handlers: Handlers) -> None:
        """Serve `handlers`, pings and service discovery at the address ``prefix.domain``."""
        self.domain = domain
        self.name = f"{prefix}.{domain.name}"
        self.handlers: Handlers = {
            ("get", DISCO_INFO): self._info,
            ("get", DISCO_ITEMS): self._items,
            ("get", PING): lambda _stanza, _child: "",
            **handlers,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def take(self, stanza: Incoming) -> None:
        """Process a stanza; if it cannot be served, answer it with an error."""
        try:
            if stanza.kind == "message":
                self.message(stanza)
            elif stanza.kind == "presence":
                self.presence(stanza)
            elif stanza.type in ("get", "set"):
                self.request(stanza)
            else:
                self.answered(stanza)
        except StanzaFailure as failure:
            self.refuse(stanza, failure)

    def refuse(self, stanza: Incoming, failure: StanzaFailure) -> None:
        """Answer with an error, unless the stanza is an answer itself."""
        if stanza.type in ("error", "result"):
            return
        if stanza.kind == "message":
            self.domain.counts.messages_bounced += 1
        self.domain.send(
            stanza.sender,
            stanza_error(
                stanza.kind,
                failure.condition,
                to=stanza.sender,
                from_=stanza.attrs["to"],
                id_=stanza.attrs.get("id"),
            ),
        )

    def _info(self, stanza: Incoming, child: Element) -> str:
        """Return the answer to a disco#info request (XEP-0030)."""
        raise NotImplementedError

    def _items(self, stanza: Incoming, child: Element) -> str:
        """Return the answer to a disco#items request."""
        raise NotImplementedError

    def message(self, stanza: Incoming) -> None:  # noqa: ARG002 - used by subclasses
        """Process a message."""
        raise StanzaFailure("service-unavailable")

    def presence(self, stanza: Incoming) -> None:
        """Process presence; unavailable presence is also passed in for a client that is gone."""

    def answered(self, stanza: Incoming) -> None:
        """Process the answer to a request."""

    def request(self, stanza: Incoming) -> None:
        """Process an iq of type get or set."""
        payload = self.serve(stanza)
        self.domain.send(
            stanza.sender,
            iq_result(
                to=stanza.sender, from_=stanza.attrs["to"], id_=stanza.attrs["id"], payload=payload
            ),
        )

    def serve(self, stanza: Incoming) -> str:
        """Return the payload of the answer to a request.

        Raises:
            StanzaFailure: There is no such request, or it cannot be fulfilled.
        """
        child = only_child(stanza.tree)
        return handler_of(self.handlers, stanza.attrs["type"], child)(stanza, child)


def only_child(iq: Element) -> Element:
    """Return the payload of a request, exactly one element (RFC 6120 section 8.2.3)."""
    refuse_if(len(iq) != 1, "bad-request")
    return iq[0]


def handler_of(handlers: Mapping[tuple[str, str], T], kind: str, child: Element) -> T:
    """Return the handler of a request.

    Raises:
        StanzaFailure: There is none; the condition depends on whether its namespace is known.
    """
    handler = handlers.get((kind, child.tag))
    if handler is not None:
        return handler
    namespace = child.tag.rpartition("}")[0]
    known = any(tag.rpartition("}")[0] == namespace for _, tag in handlers)
    raise StanzaFailure("feature-not-implemented" if known else "service-unavailable")


def disco_info(identities: list[tuple[str, str, str]], features: list[str], form: str = "") -> str:
    """Return the answer to a disco#info request (XEP-0030 section 3.1).

    Args:
        identities: Category, type and name of each.
        features: Namespaces.
        form: Extended information (XEP-0128), as markup.
    """
    who = "".join(
        f"<identity category='{category}' type='{kind}' name='{escape(name)}'/>"
        for category, kind, name in identities
    )
    what = "".join(f"<feature var='{escape(feature)}'/>" for feature in features)
    return f"<query xmlns='{ns.DISCO_INFO}'>{who}{what}{form}</query>"


def named(text: str | None) -> Jid:
    """Parse an address in a request.

    Raises:
        StanzaFailure: It is missing or malformed.
    """
    if not text:
        raise StanzaFailure("bad-request")
    try:
        return parse(text)
    except JidError:
        raise StanzaFailure("jid-malformed") from None
