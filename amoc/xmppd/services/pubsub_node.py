"""Pure. One node (XEP-0060): its configuration, its items, and its subscribers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.services.forms import Setting, changed, shown

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
    new = changed(config, _SETTINGS, x)
    return replace(new, max_items=min(new.max_items, most_items))


def event(node: str, items: str) -> str:
    """Return an event about a node's items, as markup."""
    head = attributes(node=node)
    return f"<event xmlns='{ns.PUBSUB_EVENT}'><items{head}>{items}</items></event>"
