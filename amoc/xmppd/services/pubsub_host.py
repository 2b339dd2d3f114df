"""What has nodes: the service for publishing, or a user's account (`pep`).

A host says who may make and read its nodes, and who besides the subscribers is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.services import moments
from amoc.xmppd.services.pubsub_node import Item, Node, NodeConfig, event, node_configured

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

_MAX_NAME: Final = 1023


class Host:
    """What has nodes.

    Attributes:
        domain: What all connections share.
        jid: Its address.
        nodes: By name.
        usual: What a node is like unless it is configured.
        auto_create: Whether publishing to a node that is not there makes it.
        most_nodes: How many it may have.
    """

    def __init__(
        self,
        domain: Domain,
        jid: str,
        nodes: dict[str, Node],
        usual: NodeConfig,
        most_nodes: int,
        *,
        auto_create: bool = False,
    ) -> None:
        self.domain = domain
        self.jid = jid
        self.nodes = nodes
        self.usual = usual
        self.most_nodes = most_nodes
        self.auto_create = auto_create

    def may_create(self, bare: str) -> bool:
        """Whether a user may make nodes."""
        return bool(bare)

    def sees_presence(self, bare: str) -> bool:
        """Whether a user sees the presence of whom the host belongs to."""
        return bool(bare)

    def tell(self, node: Node, payload: str) -> None:
        """Send an event to all subscribers of a node."""
        for jid in node.subscribers:
            self.tell_one(jid, payload)

    def tell_one(self, jid: str, payload: str, extra: bytes = b"") -> None:
        """Send an event to an address: to that client, or to all of a user's."""
        domain = self.domain
        head = attributes(from_=self.jid, to=jid, type="headline")
        data = f"<message{head}>{payload}".encode() + extra + b"</message>"
        if domain.send(jid, data):
            domain.counts.messages_routed += 1
        elif (user := domain.users.get(jid)) is not None:
            domain.counts.messages_routed += user.tell(data)

    def node(self, element: Element) -> Node:
        """The node that a request is about.

        Raises:
            StanzaFailure: There is none of that name, or the request has no name.
        """
        name = element.get("node")
        if name is None:
            raise StanzaFailure("bad-request")
        node = self.nodes.get(name)
        if node is None:
            raise StanzaFailure("item-not-found")
        return node

    def check_reader(self, node: Node, bare: str) -> None:
        """Raise unless a user may subscribe to a node and read it."""
        affiliation = node.affiliation(bare)
        refuse_if(affiliation == "outcast", "forbidden")
        if affiliation != "none" or node.config.access_model == "open":
            return
        refuse_if(node.config.access_model == "whitelist", "not-allowed")
        refuse_if(not self.sees_presence(bare), "not-authorized")

    def check_publisher(self, node: Node, bare: str) -> None:
        """Raise unless a user may publish to a node."""
        affiliation = node.affiliation(bare)
        allowed = (
            affiliation in ("owner", "publisher")
            or (node.config.publish_model == "open" and affiliation != "outcast")
            or (node.config.publish_model == "subscribers" and node.is_subscribed(bare))
        )
        refuse_if(not allowed, "forbidden")

    def create(self, name: str, owner: str, x: Element | None) -> Node:
        """Make a node.

        Raises:
            StanzaFailure: It cannot be made, or the form `x` makes no sense.
        """
        refuse_if(not self.may_create(owner), "forbidden")
        refuse_if(name in self.nodes, "conflict")
        refuse_if(len(name) > _MAX_NAME or not name, "not-acceptable")
        refuse_if(len(self.nodes) >= self.most_nodes, "resource-constraint")
        config = node_configured(self.usual, x, self.domain.limits.items)
        node = self.nodes[name] = Node(name, owner, config)
        return node

    def freed(self, items: Iterable[Item]) -> None:
        """Items are gone."""
        for item in items:
            self.domain.budget.give_back(len(item.payload))


def send_item(host: Host, node: Node, item: Item, jid: str) -> None:
    """Send an item that was published earlier to one address."""
    shown = item.as_markup(payload=node.config.deliver_payloads)
    host.tell_one(jid, event(node.name, shown), moments.delay(item.moment, host.jid))


Verb = Callable[[Host, str, Element, Element], str]
"""Serves a request of a sender (full address): the request's first element, and all of it."""


def verbs(namespace: str, of: Mapping[tuple[str, str], Verb]) -> dict[tuple[str, str], Verb]:
    """What serves a request, by its type and the tag of its first element.

    Args:
        namespace: That of these elements.
        of: The same by its type and the element's name.
    """
    return {(kind, f"{{{namespace}}}{name}"): verb for (kind, name), verb in of.items()}
