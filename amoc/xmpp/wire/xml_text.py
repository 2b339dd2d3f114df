"""Pure. XML text from values and element trees.

Text can never break out of its place: special characters are escaped. Characters that XML cannot
carry at all are rejected before they are sent, because the peer would end the stream for them (RFC
6120 section 11.4).
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.wire import namespaces as ns

# A parser turns a line break or tab inside an attribute into a space, and drops a CR everywhere.
_SPECIAL: Final = re.compile("[&<>'\"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Matches nearly all texts, at twice the speed.
_PLAIN: Final = re.compile("[ !#-%(-;=?-~]*+")
_ESCAPED: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\r": "&#13;",
    "\n": "&#10;",
    "\t": "&#9;",
}


def _replacement(found: re.Match[str]) -> str:
    char = found[0]
    try:
        return _ESCAPED[char]
    except KeyError:
        # Only a scenario can supply one: data from a peer has passed an XML parser.
        raise ScenarioError(
            "text for a stanza must hold only characters that XML allows, got"
            f" U+{ord(char):04X} at {found.start()}"
        ) from None


def escape(text: str) -> str:
    """Return `text` escaped for use between tags and inside quotes of either kind.

    Raises:
        ScenarioError: It contains a character that XML cannot carry, such as a control character.
    """
    return text if _PLAIN.fullmatch(text) else _SPECIAL.sub(_replacement, text)


def attributes(**values: str | None) -> str:
    """Return attributes as XML, each after a space; None values are omitted.

    Args:
        values: By name; a trailing underscore, as in ``from_``, is not part of the name.
    """
    text = ""
    for name, value in values.items():
        if value is not None:
            text += f" {name.rstrip('_')}='{escape(value)}'"
    return text


def serialise(element: Element, outer: str = ns.CLIENT, *, inherit: bool = True) -> str:
    """Return `element` as XML.

    Args:
        element: Any tree.
        outer: The default namespace at the place of the text; it is not declared again.
        inherit: Whether a tag without a namespace inherits its parent's, as is meant in elements
            built by hand; otherwise it has no namespace, as in parsed elements.

    Raises:
        ScenarioError: A text or an attribute contains a character that XML cannot carry.
    """
    parts: list[str] = []
    _write(element, outer, inherit, parts)
    return "".join(parts)


def _write(element: Element, outer: str, inherit: bool, parts: list[str]) -> None:
    # Safe to recurse: elements from a peer have passed a parser that limits their depth.
    namespace, name = _split(element.tag, outer if inherit else "")
    parts.append("<" + name)
    if namespace != outer:
        parts.append(f" xmlns='{escape(namespace)}'")
    for number, (key, value) in enumerate(element.items()):
        space, local = _split(key, "")
        if space == ns.XML:
            local = "xml:" + local
        elif space:
            parts.append(f" xmlns:a{number}='{escape(space)}'")
            local = f"a{number}:{local}"
        parts.append(f" {local}='{escape(value)}'")
    if not len(element) and not element.text:
        parts.append("/>")
        return
    parts.append(">")
    if element.text:
        parts.append(escape(element.text))
    for child in element:
        _write(child, namespace, inherit, parts)
        if child.tail:
            parts.append(escape(child.tail))
    parts.append(f"</{name}>")


def _split(tag: str, default: str) -> tuple[str, str]:
    if tag.startswith("{"):
        namespace, _, name = tag[1:].rpartition("}")
        return namespace, name
    return default, tag
