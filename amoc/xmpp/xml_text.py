"""Text to XML and back, for what one client sends.

Nothing that a scenario passes as text can break out of its place: the five special characters are
escaped, and characters that XML cannot carry at all are refused before they reach the wire, because
a server would end the stream for them (RFC 6120 section 11.4).
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.framing import NS_CLIENT, NS_STREAMS, Framer

__all__ = ["escape", "parse", "serialise"]

NS_XML: Final = "http://www.w3.org/XML/1998/namespace"

# In attributes a line break or tab would become a space, and a CR is lost everywhere.
_TROUBLE: Final = re.compile("[&<>'\"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
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
_ENVELOPE: Final = f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()


def _replacement(found: re.Match[str]) -> str:
    char = found[0]
    try:
        return _ESCAPED[char]
    except KeyError:
        raise ScenarioError(
            "text for a stanza must hold only characters that XML can carry, but holds"
            f" U+{ord(char):04X} at {found.start()}"
        ) from None


def escape(text: str) -> str:
    """`text` as it may stand between tags and between quotes of either kind.

    Raises:
        ScenarioError: It holds a character that XML cannot carry, a control character say.
    """
    return _TROUBLE.sub(_replacement, text) if _TROUBLE.search(text) else text


def serialise(element: Element, outer: str = NS_CLIENT) -> str:
    """`element` as XML.

    Args:
        element: Any tree; its tags are ElementTree's, ``{namespace}name``.
        outer: The default namespace where the text will stand; it is not declared again.

    Raises:
        ScenarioError: A text or an attribute holds a character that XML cannot carry.
    """
    parts: list[str] = []
    _write(element, outer, parts)
    return "".join(parts)


def _write(element: Element, outer: str, parts: list[str]) -> None:
    # Depth is the scenario's own doing; Python's recursion limit is far beyond any server's.
    namespace, name = _split(element.tag, outer)
    parts.append("<" + name)
    if namespace != outer:
        parts.append(f" xmlns='{escape(namespace)}'")
    prefixes = 0
    for key, value in element.attrib.items():
        space, local = _split(key, "")
        if space == NS_XML:
            local = "xml:" + local
        elif space:
            parts.append(f" xmlns:a{prefixes}='{escape(space)}'")
            local = f"a{prefixes}:{local}"
            prefixes += 1
        parts.append(f" {local}='{escape(value)}'")
    if not len(element) and not element.text:
        parts.append("/>")
        return
    parts.append(">")
    if element.text:
        parts.append(escape(element.text))
    for child in element:
        _write(child, namespace, parts)
        if child.tail:
            parts.append(escape(child.tail))
    parts.append(f"</{name}>")


def _split(tag: str, default: str) -> tuple[str, str]:
    if tag.startswith("{"):
        namespace, _, name = tag[1:].rpartition("}")
        return namespace, name
    return default, tag


def parse(text: str | bytes) -> Element:
    """The one element that `text` is, read as if it stood in a client's stream.

    Raises:
        ScenarioError: It is not exactly one well-formed element, or holds what XMPP forbids.
    """
    data = text.encode() if isinstance(text, str) else bytes(text)
    framer = Framer(max_stanza_bytes=max(len(data), 1))
    found = framer.feed(_ENVELOPE)
    found += framer.feed(data)
    # The closing tag shows whether anything was left open.
    found += framer.feed(b"</stream:stream>")
    if framer.violation is not None:
        raise ScenarioError(
            f"raw XML must be well-formed and fit for XMPP, but is not: {framer.violation}"
        )
    if len(found) != 1 or not framer.closed:
        raise ScenarioError(f"raw XML must be exactly one element, but is {len(found)}")
    return found[0]


def child_tag(namespace: str, name: str) -> str:
    """ElementTree's tag for `name` in `namespace`."""
    return f"{{{namespace}}}{name}"
