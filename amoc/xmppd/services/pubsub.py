"""Publish-subscribe (XEP-0060): the service ``pubsub.<domain>``, and requests shared with PEP.

Nodes belong to a `Host`; the requests are the same for all hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, serialise
from amoc.xmppd.answers import refuse_if, required
from amoc.xmppd.services import pubsub_owner
from amoc.xmppd.services.forms import FORM
from amoc.xmppd.services.paging import Paging, rsm
from amoc.xmppd.services.pubsub_host import Host, Verb, send_item, verbs
from amoc.xmppd.services.pubsub_node import Item, NodeConfig, event, node_configured, node_form
from amoc.xmppd.services.service import Handlers, Incoming, Service, disco_info, named

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain

REQUESTS: Final = f"{{{ns.PUBSUB}}}pubsub"
OWNER: Final = f"{{{ns.PUBSUB_OWNER}}}pubsub"
_ITEM: Final = f"{{{ns.PUBSUB}}}item"
_FEATURES: Final = (
    "access-open", "access-whitelist", "config-node", "create-and-configure", "create-nodes",
    "delete-items", "delete-nodes", "item-ids", "last-published", "meta-data",
    "modify-affiliations", "multi-items", "outcast-affiliation", "persistent-items", "publish",
    "publish-options", "publisher-affiliation", "purge-nodes", "retract-items",
    "retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions",
    "rsm", "subscribe",
)  # fmt: skip


def features(*more: str) -> list[str]:
    """Return a host's features for service discovery."""
    return [ns.PUBSUB, *(f"{ns.PUBSUB}#{name}" for name in (*_FEATURES, *more))]


def serve(host: Host, kind: str, sender: str, request: Element) -> str:
    """Serve one request about nodes; return the payload of the answer.

    Args:
        host: The host of the nodes.
        kind: get or set.
        sender: The full address of the client.
        request: The ``<pubsub/>`` element.

    Raises:
        StanzaFailure: It cannot be fulfilled.
    """
    refuse_if(not len(request), "bad-request")
    first = request[0]
    verb = required(_VERBS.get((kind, first.tag)), "feature-not-implemented")
    return verb(host, sender, first, request)


def _create(host: Host, sender: str, create: Element, request: Element) -> str:
    name = create.get("node") or f"node{host.domain.next_serial()}"
    x = request.find(f"{{{ns.PUBSUB}}}configure/{FORM}")
    node = host.create(name, _bare(sender), x)
    return f"<pubsub xmlns='{ns.PUBSUB}'><create{attributes(node=node.name)}/></pubsub>"


def _publish(host: Host, sender: str, publish: Element, request: Element) -> str:
    bare = _bare(sender)
    x = request.find(f"{{{ns.PUBSUB}}}publish-options/{FORM}")
    name = required(publish.get("node"), "bad-request")
    node = host.nodes.get(name)
    if node is not None:
        host.check_publisher(node, bare)
        # The options are preconditions on the node's configuration (section 7.1.5).
        wanted = node_configured(node.config, x, host.domain.limits.items)
        refuse_if(wanted != node.config, "conflict")
    else:
        refuse_if(not host.personal, "item-not-found")
        node = host.create(name, bare, x)
    items = publish.findall(_ITEM)
    refuse_if(len(items) != 1, "bad-request")
    item = _item(host, items[0], sender)
    if node.config.persist_items and node.config.max_items:
        host.domain.budget.take(len(item.payload))
        host.freed(node.add(item))
    host.notify(node, event(name, item.as_markup(payload=node.config.deliver_payloads)))
    answer = f"<publish{attributes(node=name)}><item{attributes(id=item.id)}/></publish>"
    return f"<pubsub xmlns='{ns.PUBSUB}'>{answer}</pubsub>"


def _item(host: Host, element: Element, sender: str) -> Item:
    refuse_if(len(element) > 1, "bad-request")
    payload = serialise(element[0], "", inherit=False) if len(element) else ""
    moment = host.domain.archives.moment(host.domain.now_us())
    return Item(element.get("id") or f"{moment:x}", payload, sender, moment)


def _retract(host: Host, sender: str, retract: Element, _request: Element) -> str:
    node = host.node(retract)
    host.check_publisher(node, _bare(sender))
    names = [item.get("id") for item in retract.iterfind(_ITEM)]
    refuse_if(not names or None in names, "bad-request")
    gone = [node.items.pop(name) for name in names if name is not None and name in node.items]
    refuse_if(not gone, "item-not-found")
    host.freed(gone)
    if node.config.notify_retract or retract.get("notify") in ("1", "true"):
        host.notify(
            node, event(node.name, "".join(f"<retract{attributes(id=item.id)}/>" for item in gone))
        )
    return ""


def _subscribe(host: Host, sender: str, subscribe: Element, _request: Element) -> str:
    node = host.node(subscribe)
    jid = _own(sender, subscribe)
    host.check_reader(node, _bare(sender))
    if jid not in node.subscribers:
        refuse_if(len(node.subscribers) >= host.domain.limits.subscribers, "resource-constraint")
        node.subscribers[jid] = f"s{host.domain.next_serial()}"
    if node.config.send_last != "never" and node.last is not None:
        send_item(host, node, node.last, jid)
    return f"<pubsub xmlns='{ns.PUBSUB}'>{pubsub_owner.subscription(node, jid, node.name)}</pubsub>"


def _unsubscribe(host: Host, sender: str, unsubscribe: Element, _request: Element) -> str:
    node = host.node(unsubscribe)
    jid = _own(sender, unsubscribe)
    refuse_if(jid not in node.subscribers, "unexpected-request")
    del node.subscribers[jid]
    return ""


def _items(host: Host, sender: str, items: Element, request: Element) -> str:
    node = host.node(items)
    host.check_reader(node, _bare(sender))
    wanted = {item.get("id") for item in items.iterfind(_ITEM)}
    found = [item for item in node.items.values() if not wanted or item.id in wanted]
    most = items.get("max_items")
    if most is not None:
        refuse_if(not (most.isascii() and most.isdigit()), "bad-request")
        found = found[-int(most[:9]) :] if int(most[:9]) else []
    page = Paging.of(request, host.domain.limits.items).cut(found, lambda item: item.id)
    shown = "".join(item.as_markup() for item in page.items)
    content = f"<items{attributes(node=node.name)}>{shown}</items>"
    return f"<pubsub xmlns='{ns.PUBSUB}'>{content}{rsm(page, request)}</pubsub>"


def _subscriptions(host: Host, sender: str, asked: Element, _request: Element) -> str:
    nodes = [host.node(asked)] if asked.get("node") else list(host.nodes.values())
    found = "".join(
        pubsub_owner.subscription(node, jid, node.name)
        for node in nodes
        for jid in node.subscribers
        if jid.partition("/")[0] == _bare(sender)
    )
    return f"<pubsub xmlns='{ns.PUBSUB}'><subscriptions>{found}</subscriptions></pubsub>"


def _affiliations(host: Host, sender: str, asked: Element, _request: Element) -> str:
    nodes = [host.node(asked)] if asked.get("node") else list(host.nodes.values())
    found = "".join(
        f"<affiliation{attributes(node=node.name, affiliation=what)}/>"
        for node in nodes
        if (what := node.affiliation(_bare(sender))) != "none"
    )
    return f"<pubsub xmlns='{ns.PUBSUB}'><affiliations>{found}</affiliations></pubsub>"


def _default(host: Host, _sender: str, _asked: Element, _request: Element) -> str:
    form = node_form("form", host.usual)
    return f"<pubsub xmlns='{ns.PUBSUB}'><default>{form}</default></pubsub>"


def _own(sender: str, element: Element) -> str:
    """Return the address of a subscription, which must be the sender's (section 6.1.3.1)."""
    jid = named(element.get("jid"))
    refuse_if(jid.bare != _bare(sender), "bad-request")
    return jid.full


def _bare(jid: str) -> str:
    return jid.partition("/")[0]


_VERBS: Final[dict[tuple[str, str], Verb]] = {
    **verbs(
        ns.PUBSUB,
        {
            ("set", "create"): _create,
            ("set", "publish"): _publish,
            ("set", "retract"): _retract,
            ("set", "subscribe"): _subscribe,
            ("set", "unsubscribe"): _unsubscribe,
            ("get", "items"): _items,
            ("get", "subscriptions"): _subscriptions,
            ("get", "affiliations"): _affiliations,
            ("get", "default"): _default,
        },
    ),
    **pubsub_owner.VERBS,
}


class PubSub(Service):
    """The service ``pubsub.<domain>``, where every user may create nodes."""

    def __init__(self, domain: Domain) -> None:
        handlers: Handlers = {
            ("get", REQUESTS): self._serve,
            ("set", REQUESTS): self._serve,
            ("get", OWNER): self._serve,
            ("set", OWNER): self._serve,
        }
        super().__init__(domain, "pubsub", handlers)
        self.host = Host(domain, self.name, {}, NodeConfig(), domain.limits.rooms)

    def _serve(self, stanza: Incoming, child: Element) -> str:
        return serve(self.host, stanza.attrs["type"], stanza.sender, child)

    def _info(self, _stanza: Incoming, child: Element) -> str:
        identity = ("pubsub", "service", "amoc xmppd: publishing")
        return info(self.host, child, [identity], *features())

    def _items(self, stanza: Incoming, child: Element) -> str:
        return listed(self.host, stanza.sender, child)


def info(host: Host, query: Element, identities: list[tuple[str, str, str]], *more: str) -> str:
    """Return the answer to a disco#info request to a host or one of its nodes.

    Args:
        host: The host of the nodes.
        query: The request.
        identities: The host's identities.
        more: Its features in addition to the common ones.
    """
    base = [ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PING, ns.RSM]
    if not query.get("node"):
        return disco_info(identities, [*base, *more])
    node = host.node(query)
    meta = node_form("result", node.config).replace("#node_config", "#meta-data")
    return disco_info([("pubsub", "leaf", node.config.title)], [ns.PUBSUB, *base], meta)


def listed(host: Host, sender: str, query: Element) -> str:
    """Return the answer to a disco#items request to a host or one of its nodes."""
    if query.get("node"):
        node = host.node(query)
        host.check_reader(node, _bare(sender))
        found = [attributes(jid=host.jid, name=item.id) for item in node.items.values()]
    else:
        found = [attributes(jid=host.jid, node=name) for name in host.nodes]
    page = Paging.of(query, host.domain.limits.items).cut(found, lambda item: item)
    shown = "".join(f"<item{item}/>" for item in page.items)
    head = attributes(node=query.get("node"))
    return f"<query xmlns='{ns.DISCO_ITEMS}'{head}>{shown}{rsm(page, query)}</query>"
