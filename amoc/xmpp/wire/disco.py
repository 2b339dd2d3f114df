"""Pure. Service discovery (XEP-0030), and its digest in presence (XEP-0115)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape

NODE: Final = "https://pypi.org/project/amoc"
"""Identifies the client software in caps."""
DEFAULT: Final = (ns.CAPS, ns.DISCO_INFO, ns.PING)
"""Features of every amoc client."""


class Info(NamedTuple):
    """An entity's description of itself."""

    identities: tuple[tuple[str, str, str], ...]
    """Category, type and name of each."""
    features: frozenset[str]
    forms: tuple[Mapping[str, list[str]], ...]
    """The values of each extended form (XEP-0128), by field."""


class Item(NamedTuple):
    """An item that belongs to an entity."""

    jid: str
    node: str
    name: str


def info(query: Element) -> Info:
    """Parse the answer to a disco#info query."""
    space = f"{{{ns.DISCO_INFO}}}"
    return Info(
        identities=tuple(
            (one.get("category", ""), one.get("type", ""), one.get("name", ""))
            for one in query.iterfind(space + "identity")
        ),
        features=frozenset(one.get("var", "") for one in query.iterfind(space + "feature")),
        forms=tuple(forms.values(one) for one in query.iterfind(f"{{{ns.FORMS}}}x")),
    )


def items(query: Element) -> list[Item]:
    """Parse the answer to a disco#items query."""
    return [
        Item(one.get("jid", ""), one.get("node", ""), one.get("name", ""))
        for one in query.iterfind(f"{{{ns.DISCO_ITEMS}}}item")
    ]


@lru_cache(maxsize=64)
def answer(features: tuple[str, ...], node: str | None) -> str:
    """Return a client's answer to a disco#info query for `node`."""
    listed = "".join(f"<feature var='{escape(one)}'/>" for one in features)
    return (
        f"<query xmlns='{ns.DISCO_INFO}'{attributes(node=node)}>"
        f"<identity category='client' type='bot' name='amoc'/>{listed}</query>"
    )


def no_items(node: str | None) -> str:
    """Return a client's answer to a disco#items query: it has no items."""
    return f"<query xmlns='{ns.DISCO_ITEMS}'{attributes(node=node)}/>"


@lru_cache(maxsize=64)
def caps(features: tuple[str, ...]) -> str:
    """Return the element for presence with the digest of `features` (XEP-0115 section 5)."""
    # XEP-0115 sorts by bytes; a name cannot contain the separator.
    listed = sorted(set(features), key=str.encode)
    text = "".join(f"{one}<" for one in ("client/bot//amoc", *listed))
    digest = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()  # noqa: S324 - XEP-0115
    return f"<c xmlns='{ns.CAPS}' hash='sha-1' node='{NODE}' ver='{digest}'/>"
