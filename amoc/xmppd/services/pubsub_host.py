"""Hosts of nodes: the publish-subscribe service, or a user's account (`pep`).

A host decides who may create and read its nodes, and who besides the subscribers is notified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.answers import refuse_if, required
from amoc.xmppd.services import moments
from amoc.xmppd.services.pubsub_node import Item, Node, NodeConfig, event, node_configured

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

_MAX_NAME: Final = 1023


class Host:
    """An entity that has nodes.

    Attributes:
        domain: The state shared by all connections.
        jid: Its address.
        nodes: Its nodes by name.
        usual: Default configuration of nodes.
        personal: Whether it is a user: only the user creates nodes, also by publishing to them.
        most_nodes: Maximum number of nodes.
    """

    def __init__(
        self,
        domain: Domain,
        jid: str,
        nodes: dict[str, Node],
        usual: NodeConfig,
        most_nodes: int,
        *,
        personal: bool = False,
    ) -> None:
        self.domain = domain
        self.jid = jid
        self.nodes = nodes
        self.usual = usual
        self.most_nodes = most_nodes
        self.personal = personal

    def sees_presence(self, bare: str) -> bool:  # noqa: ARG002 - used by subclasses
        """Return whether a user sees the presence of the host's owner."""
        return True

    def notify(self, node: Node, payload: str) -> None:
        """Send an event to all subscribers of a node."""
        for jid in node.subscribers:
            self.notify_one(jid, payload)

    def notify_one(self, jid: str, payload: str, extra: bytes = b"") -> None:
        """Send an event to an address: to one client, or to all of a user's clients."""
        domain = self.domain
        head = attributes(from_=self.jid, to=jid, type="headline")
        data = f"<message{head}>{payload}".encode() + extra + b"</message>"
        if domain.send(jid, data):
            domain.counts.messages_routed += 1
        elif (user := domain.users.get(jid)) is not None:
            domain.counts.messages_routed += user.send_to_available(data)

    def node(self, element: Element) -> Node:
        """Return the node that a request names.

        Raises:
            StanzaFailure: There is no such node, or the request has no name.
        """
        name = required(element.get("node"), "bad-request")
        return required(self.nodes.get(name), "item-not-found")

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
        """Create a node.

        Raises:
            StanzaFailure: It cannot be created, or the form `x` is invalid.
        """
        refuse_if(self.personal and owner != self.jid, "forbidden")
        refuse_if(name in self.nodes, "conflict")
        refuse_if(len(name) > _MAX_NAME or not name, "not-acceptable")
        refuse_if(len(self.nodes) >= self.most_nodes, "resource-constraint")
        config = node_configured(self.usual, x, self.domain.limits.items)
        node = self.nodes[name] = Node(name, config, {owner: "owner"})
        return node

    def freed(self, items: Iterable[Item]) -> None:
        """Release the space of removed items."""
        for item in items:
            self.domain.budget.give_back(len(item.payload))


def send_item(host: Host, node: Node, item: Item, jid: str) -> None:
    """Send an earlier item to one address."""
    shown = item.as_markup(payload=node.config.deliver_payloads)
    host.notify_one(jid, event(node.name, shown), moments.delay(item.moment, host.jid))


Verb = Callable[[Host, str, Element, Element], str]
"""Serves a request from a sender (full address), given its first element and the whole request."""


def verbs(namespace: str, of: Mapping[tuple[str, str], Verb]) -> dict[tuple[str, str], Verb]:
    """Return functions for requests by their type and the tag of their first element.

    Args:
        namespace: The namespace of these elements.
        of: The functions by type and element name.
    """
    return {(kind, f"{{{namespace}}}{name}"): verb for (kind, name), verb in of.items()}
