"""Pure. Values and trees to XML text.

Nothing that is passed as text can break out of its place: the special characters are escaped, and
characters that XML cannot carry at all are refused before they reach the wire, because the peer
would end the stream for them (RFC 6120 section 11.4).
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.wire import namespaces as ns

# A parser turns a line break or tab inside an attribute into a space, and drops a CR everywhere.
_SPECIAL: Final = re.compile("[&<>'\"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What nearly all texts are made of, found at twice the speed.
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
        # Only a scenario can come up with one: whatever a peer sends has passed an XML parser.
        raise ScenarioError(
            "text for a stanza must hold only characters that XML allows, got"
            f" U+{ord(char):04X} at {found.start()}"
        ) from None


def escape(text: str) -> str:
    """`text`, safe between tags and inside quotes of either kind.

    Raises:
        ScenarioError: It holds a character that XML cannot carry, such as a control character.
    """
    return text if _PLAIN.fullmatch(text) else _SPECIAL.sub(_replacement, text)


def attributes(**values: str | None) -> str:
    """Attributes as XML, each after a space; those that are None are left out.

    Args:
        values: By name; a trailing underscore, as in ``from_``, is not part of the name.
    """
    text = ""
    for name, value in values.items():
        if value is not None:
            text += f" {name.rstrip('_')}='{escape(value)}'"
    return text


def serialise(element: Element, outer: str = ns.CLIENT, *, inherit: bool = True) -> str:
    """`element` as XML.

    Args:
        element: Any tree.
        outer: The default namespace where the text will stand; it is not declared again.
        inherit: Whether a tag without a namespace is in its parent's, as hand-made elements mean
            it; otherwise it is in none, as parsed elements mean it.

    Raises:
        ScenarioError: A text or an attribute holds a character that XML cannot carry.
    """
    parts: list[str] = []
    _write(element, outer, inherit, parts)
    return "".join(parts)


def _write(element: Element, outer: str, inherit: bool, parts: list[str]) -> None:
    # Recursion is no risk: a peer's elements have passed a parser that limits their depth.
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
