"""Requests of a node's owner (XEP-0060 section 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.services.forms import FORM
from amoc.xmppd.services.pubsub_host import Host, Verb, verbs
from amoc.xmppd.services.pubsub_node import Node, node_configured, node_form
from amoc.xmppd.services.service import named

_AFFILIATIONS: Final = ("owner", "publisher", "member", "outcast", "none")


def subscription(node: Node, jid: str, name: str | None = None) -> str:
    """Return a subscription as an element."""
    id_ = node.subscribers[jid]
    return f"<subscription{attributes(node=name, jid=jid, subid=id_, subscription='subscribed')}/>"


def _for_owner(serve: Callable[[Host, Node, Element], str]) -> Verb:
    """Return a function that serves the owners of a node."""

    def verb(host: Host, sender: str, asked: Element, _request: Element) -> str:
        node = host.node(asked)
        refuse_if(node.affiliation(sender.partition("/")[0]) != "owner", "forbidden")
        return serve(host, node, asked)

    return verb


def _configuration(_host: Host, node: Node, _asked: Element) -> str:
    form = node_form("form", node.config)
    return _answer(f"<configure{attributes(node=node.name)}>{form}</configure>")


def _configure(host: Host, node: Node, asked: Element) -> str:
    x = required(asked.find(FORM), "bad-request")
    if x.get("type") != "cancel":
        node.config = node_configured(node.config, x, host.domain.limits.items)
        host.freed(node.trim())
    return ""


def _default(host: Host, _sender: str, _asked: Element, _request: Element) -> str:
    return _answer(f"<default>{node_form('form', host.usual)}</default>")


def _delete(host: Host, node: Node, _asked: Element) -> str:
    del host.nodes[node.name]
    host.freed(node.items.values())
    if node.config.notify_delete:
        _notify(host, node, "delete")
    return ""


def _purge(host: Host, node: Node, _asked: Element) -> str:
    host.freed(node.items.values())
    node.items.clear()
    if node.config.notify_retract:
        _notify(host, node, "purge")
    return ""


def _notify(host: Host, node: Node, what: str) -> None:
    head = attributes(node=node.name)
    host.notify(node, f"<event xmlns='{ns.PUBSUB_EVENT}'><{what}{head}/></event>")


def _affiliations(_host: Host, node: Node, _asked: Element) -> str:
    found = "".join(
        f"<affiliation{attributes(jid=jid, affiliation=what)}/>"
        for jid, what in node.affiliations.items()
    )
    return _answer(f"<affiliations{attributes(node=node.name)}>{found}</affiliations>")


def _affiliate(host: Host, node: Node, asked: Element) -> str:
    changed = dict(node.affiliations)
    for element in asked:
        what = element.get("affiliation")
        jid = named(element.get("jid")).bare
        if what not in _AFFILIATIONS:
            raise StanzaFailure("bad-request")
        if what == "none":
            changed.pop(jid, None)
        else:
            changed[jid] = what
    refuse_if("owner" not in changed.values(), "not-acceptable")
    refuse_if(len(changed) > host.domain.limits.affiliations, "resource-constraint")
    node.affiliations = changed
    return ""


def _subscriptions(_host: Host, node: Node, _asked: Element) -> str:
    found = "".join(subscription(node, jid) for jid in node.subscribers)
    return _answer(f"<subscriptions{attributes(node=node.name)}>{found}</subscriptions>")


def _subscribe_others(host: Host, node: Node, asked: Element) -> str:
    for element in asked:
        jid = named(element.get("jid")).full
        what = element.get("subscription")
        if what == "none":
            node.subscribers.pop(jid, None)
        elif what != "subscribed":
            raise StanzaFailure("bad-request")
        elif len(node.subscribers) >= host.domain.limits.subscribers:
            raise StanzaFailure("resource-constraint")
        else:
            node.subscribers.setdefault(jid, f"s{host.domain.next_serial()}")
    return ""


def _answer(content: str) -> str:
    return f"<pubsub xmlns='{ns.PUBSUB_OWNER}'>{content}</pubsub>"


VERBS: Final[dict[tuple[str, str], Verb]] = verbs(
    ns.PUBSUB_OWNER,
    {
        ("get", "configure"): _for_owner(_configuration),
        ("set", "configure"): _for_owner(_configure),
        ("get", "default"): _default,
        ("set", "delete"): _for_owner(_delete),
        ("set", "purge"): _for_owner(_purge),
        ("get", "affiliations"): _for_owner(_affiliations),
        ("set", "affiliations"): _for_owner(_affiliate),
        ("get", "subscriptions"): _for_owner(_subscriptions),
        ("set", "subscriptions"): _for_owner(_subscribe_others),
    },
)
