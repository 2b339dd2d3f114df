"""Nodes (XEP-0060) and their hosts: the publish-subscribe service, or a user's account (`pep`).

A host decides who may create and read its nodes, and who besides the subscribers is notified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.services import moments
from amoc.xmppd.services.forms import Setting, changes, shown

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

_MAX_NAME: Final = 1023
NODE_CONFIG: Final = f"{ns.PUBSUB}#node_config"
ACCESS_MODELS: Final = ("open", "presence", "whitelist")
PUBLISH_MODELS: Final = ("publishers", "subscribers", "open")
SEND_LAST: Final = ("never", "on_sub", "on_sub_and_presence")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A node's configuration."""

    title: str = ""
    access_model: str = "open"
    """Who may subscribe and read: everyone, users who see the owner's presence, or affiliates."""
    publish_model: str = "publishers"
    max_items: int = 100
    persist_items: bool = True
    deliver_payloads: bool = True
    notify_retract: bool = True
    notify_delete: bool = True
    send_last: str = "on_sub"


_SETTINGS: Final = tuple(
    Setting(f"pubsub#{name}", attribute, label, options)
    for name, attribute, label, options in (
        ("title", "title", "Title", ()),
        ("access_model", "access_model", "Who may subscribe and read", ACCESS_MODELS),
        ("publish_model", "publish_model", "Who may publish", PUBLISH_MODELS),
        ("max_items", "max_items", "Maximum number of items kept", ()),
        ("persist_items", "persist_items", "Keep items", ()),
        ("deliver_payloads", "deliver_payloads", "Send payloads with events", ()),
        ("notify_retract", "notify_retract", "Notify when items are retracted", ()),
        ("notify_delete", "notify_delete", "Notify when the node is deleted", ()),
        ("send_last_published_item", "send_last", "When the last item is sent", SEND_LAST),
    )
)
PERSONAL: Final = NodeConfig(access_model="presence", max_items=1, send_last="on_sub_and_presence")
"""Default configuration of a user's node (XEP-0163)."""


class Item(NamedTuple):
    """One item of a node."""

    id: str
    payload: str
    """As markup; empty if there is none."""
    publisher: str
    moment: int
    """When it was published, in microseconds since 1970."""

    def as_markup(self, *, payload: bool = True) -> str:
        """Return the item as an element of events and answers."""
        head = attributes(id=self.id)
        return (
            f"<item{head}>{self.payload}</item>" if payload and self.payload else f"<item{head}/>"
        )


@dataclass(slots=True, eq=False)
class Node:
    """One node.

    Attributes:
        name: Its name.
        config: Its configuration.
        affiliations: owner, publisher, member or outcast, by bare address.
        subscribers: Ids of subscriptions, by the subscribed address.
        items: Its items by id, oldest first.
    """

    name: str
    config: NodeConfig
    affiliations: dict[str, str]
    subscribers: dict[str, str] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)

    def affiliation(self, bare: str) -> str:
        """Return a user's affiliation; ``none`` by default."""
        return self.affiliations.get(bare, "none")

    @property
    def last(self) -> Item | None:
        """The latest item that is kept."""
        return next(reversed(self.items.values()), None)

    def add(self, item: Item) -> list[Item]:
        """Keep an item; return the items that it has replaced or displaced."""
        replaced = self.items.pop(item.id, None)
        self.items[item.id] = item
        return [*([replaced] if replaced is not None else ()), *self.trim()]

    def trim(self) -> list[Item]:
        """Drop and return the oldest items beyond the maximum."""
        over = max(0, len(self.items) - self.config.max_items)
        return [self.items.pop(name) for name in list(self.items)[:over]]

    def is_subscribed(self, bare: str) -> bool:
        """Return whether one of a user's addresses is subscribed."""
        return any(jid.partition("/")[0] == bare for jid in self.subscribers)


def node_form(kind: str, config: NodeConfig) -> str:
    """Return the form with the values of `config`."""
    return forms.form(kind, NODE_CONFIG, shown(config, _SETTINGS))


def node_configured(config: NodeConfig, x: Element | None, most_items: int) -> NodeConfig:
    """Return `config` with the changes in a form.

    Raises:
        StanzaFailure: A value is invalid or not supported.
    """
    if x is None:
        return config
    try:
        changed = replace(config, **changes(config, _SETTINGS, forms.values(x)))
    except ValueError:
        raise StanzaFailure("not-acceptable") from None
    return replace(changed, max_items=min(changed.max_items, most_items))


def event(node: str, items: str) -> str:
    """Return an event about a node's items, as markup."""
    head = attributes(node=node)
    return f"<event xmlns='{ns.PUBSUB_EVENT}'><items{head}>{items}</items></event>"


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
