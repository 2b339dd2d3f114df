"""Nodes of publish-subscribe services (XEP-0060) and of users' accounts (XEP-0163).

``at`` says where a node is: None for the user's own account, a number for that user's account, or
the JID of a service, such as ``pubsub.localhost``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp import encode
from amoc.xmpp.encode import Sendable
from amoc.xmpp.receiving import Listener
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape, serialise

PREFIX: Final = "pubsub#"
_EVENT: Final = f"{{{ns.PUBSUB_EVENT}}}"
_SPACE: Final = f"{{{ns.PUBSUB}}}"
_OWNER: Final = f"{{{ns.PUBSUB_OWNER}}}"

Where = str | int | None


class Item(NamedTuple):
    """A published item."""

    id: str
    payload: Element | None
    """None if the node notifies without payloads."""
    publisher: str
    """Empty where the service does not say."""


class Event(NamedTuple):
    """A notification about a node (XEP-0060 section 7.1.2)."""

    node: str
    kind: str
    """``items``, ``delete``, ``purge``, ``configuration`` or ``subscription``."""
    items: list[Item]
    retracted: list[str]
    """Ids of deleted items."""


def event_of(stanza: Stanza) -> Event | None:
    """Return the notification in a message, which `is_event` matches; None without one."""
    event = stanza.xml.find(_EVENT + "event")
    if event is None or not len(event):
        return None
    told = event[0]
    return Event(
        node=told.get("node", ""),
        kind=told.tag.rpartition("}")[2],
        items=[_item(one) for one in told.iterfind(_EVENT + "item")],
        retracted=[one.get("id", "") for one in told.iterfind(_EVENT + "retract")],
    )


class PubSub(Listener):
    """Calls for publishers, subscribers and node owners."""

    __slots__ = ()

    def publish(
        self,
        node: str,
        payload: Sendable | None = None,
        *,
        id: str | None = None,
        at: Where = None,
        options: Mapping[str, forms.Value] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publish an item (section 7.1).

        Args:
            node: Its name; a node of the user's own account is created if it does not exist.
            payload: An element or raw XML, if any.
            id: Replaces the item with this id; None lets the service choose one.
            at: Where the node is; see the module.
            options: Preconditions that the node must meet, and with which it is created;
                ``access_model`` is short for ``pubsub#access_model``.
            timeout: In seconds; None for xmpp_request_timeout.

        Returns:
            The item's id; empty if the service does not return it.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError, ScenarioError: As `request`.
        """
        inside = ""
        if payload is not None:
            inside = serialise(encode.element_of(payload), ns.PUBSUB, inherit=False)
        wish = ""
        if options:
            form = forms.submit(ns.PUBSUB_PUBLISH_OPTIONS, options, PREFIX)
            wish = f"<publish-options>{form}</publish-options>"
        answer = self._pubsub(
            "set",
            f"<publish node='{escape(node)}'><item{attributes(id=id)}>{inside}</item></publish>"
            + wish,
            "pubsub_publish",
            at,
            timeout,
        )
        item = answer.xml.find(f"{_SPACE}pubsub/{_SPACE}publish/{_SPACE}item")
        return (id or "") if item is None else item.get("id", "")

    def retract(
        self,
        node: str,
        id: str,
        *,
        at: Where = None,
        notify: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Delete an item (section 7.2), and notify subscribers if `notify`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        inside = f"<item id='{escape(id)}'/>"
        attrs = attributes(node=node, notify="true" if notify else None)
        self._pubsub("set", f"<retract{attrs}>{inside}</retract>", "pubsub_retract", at, timeout)

    def items(
        self,
        node: str,
        *,
        at: Where = None,
        last: int | None = None,
        ids: Iterable[str] = (),
        timeout: float | None = None,
    ) -> list[Item]:
        """Return items of a node (section 6.5): all, the `last` n, or those with the given `ids`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        wanted = "".join(f"<item id='{escape(one)}'/>" for one in ids)
        attrs = attributes(node=node, max_items=None if last is None else str(last))
        answer = self._pubsub("get", f"<items{attrs}>{wanted}</items>", "pubsub_items", at, timeout)
        found = answer.xml.iterfind(f"{_SPACE}pubsub/{_SPACE}items/{_SPACE}item")
        return [_item(one) for one in found]

    def subscribe(self, node: str, *, at: Where, timeout: float | None = None) -> str:
        """Subscribe with the bare JID (section 6.1); return ``subscribed`` or ``pending``.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        wish = f"<subscribe{attributes(node=node, jid=self.bare_jid)}/>"
        answer = self._pubsub("set", wish, "pubsub_subscribe", at, timeout)
        found = answer.xml.find(f"{_SPACE}pubsub/{_SPACE}subscription")
        return "subscribed" if found is None else found.get("subscription", "subscribed")

    def unsubscribe(self, node: str, *, at: Where, timeout: float | None = None) -> None:
        """End the subscription of the bare JID (section 6.2).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        wish = f"<unsubscribe{attributes(node=node, jid=self.bare_jid)}/>"
        self._pubsub("set", wish, "pubsub_unsubscribe", at, timeout)

    def subscriptions(self, *, at: Where, timeout: float | None = None) -> dict[str, str]:
        """Return the user's subscriptions at a service: states by node (section 5.6).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        answer = self._pubsub("get", "<subscriptions/>", "pubsub_subscriptions", at, timeout)
        found = answer.xml.iterfind(f"{_SPACE}pubsub/{_SPACE}subscriptions/{_SPACE}subscription")
        return {one.get("node", ""): one.get("subscription", "") for one in found}

    # For owners

    def create_node(
        self,
        node: str,
        configuration: Mapping[str, forms.Value] | None = None,
        *,
        at: Where = None,
        timeout: float | None = None,
    ) -> None:
        """Create a node (section 8.1) with the service's defaults, overridden by `configuration`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        inside = f"<create node='{escape(node)}'/>"
        if configuration:
            inside += f"<configure>{_config(configuration)}</configure>"
        self._pubsub("set", inside, "pubsub_create", at, timeout)

    def configure_node(
        self,
        node: str,
        configuration: Mapping[str, forms.Value],
        *,
        at: Where = None,
        timeout: float | None = None,
    ) -> None:
        """Change a node's configuration (section 8.2); ``max_items`` means ``pubsub#max_items``.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        inside = f"<configure node='{escape(node)}'>{_config(configuration)}</configure>"
        self._owner("set", inside, "pubsub_configure", at, timeout)

    def node_configuration(
        self, node: str, *, at: Where = None, timeout: float | None = None
    ) -> dict[str, list[str]]:
        """Return a node's configuration: values by field name (section 8.2).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        inside = f"<configure node='{escape(node)}'/>"
        answer = self._owner("get", inside, "pubsub_configuration", at, timeout)
        form = answer.xml.find(f"*/*/{{{ns.FORMS}}}x")
        return {} if form is None else forms.values(form)

    def delete_node(self, node: str, *, at: Where = None, timeout: float | None = None) -> None:
        """Delete a node with all its items (section 8.4).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self._owner("set", f"<delete node='{escape(node)}'/>", "pubsub_delete", at, timeout)

    def purge_node(self, node: str, *, at: Where = None, timeout: float | None = None) -> None:
        """Delete all items of a node (section 8.5).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self._owner("set", f"<purge node='{escape(node)}'/>", "pubsub_purge", at, timeout)

    def node_affiliations(
        self, node: str, *, at: Where = None, timeout: float | None = None
    ) -> dict[str, str]:
        """Return a node's affiliations, such as ``owner`` or ``publisher``, by JID (section 8.9.1).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        inside = f"<affiliations node='{escape(node)}'/>"
        answer = self._owner("get", inside, "pubsub_affiliations", at, timeout)
        found = answer.xml.iterfind(f"{_OWNER}pubsub/{_OWNER}affiliations/{_OWNER}affiliation")
        return {one.get("jid", ""): one.get("affiliation", "") for one in found}

    def set_node_affiliations(
        self,
        node: str,
        affiliations: Mapping[str, str],
        *,
        at: Where = None,
        timeout: float | None = None,
    ) -> None:
        """Change affiliations of a node, by bare JID (section 8.9.2).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        changes = "".join(
            f"<affiliation{attributes(jid=jid, affiliation=kind)}/>"
            for jid, kind in affiliations.items()
        )
        inside = f"<affiliations node='{escape(node)}'>{changes}</affiliations>"
        self._owner("set", inside, "pubsub_set_affiliations", at, timeout)

    def _pubsub(
        self, kind: str, inside: str, name: str, at: Where, timeout: float | None
    ) -> Stanza:
        payload = f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>"
        return self.request(payload, timeout, to=at, type=kind, name=name)

    def _owner(self, kind: str, inside: str, name: str, at: Where, timeout: float | None) -> Stanza:
        payload = f"<pubsub xmlns='{ns.PUBSUB_OWNER}'>{inside}</pubsub>"
        return self.request(payload, timeout, to=at, type=kind, name=name)


def _item(item: Element) -> Item:
    payload = item[0] if len(item) else None
    return Item(item.get("id", ""), payload, item.get("publisher", ""))


def _config(configuration: Mapping[str, forms.Value]) -> str:
    return forms.submit(ns.PUBSUB_NODE_CONFIG, configuration, PREFIX)
