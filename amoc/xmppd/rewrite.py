"""Puts the sender's address into a stanza: inserted where that is safe, else written anew.

A stanza's bytes mean the same in the receiver's stream only if both streams declare the same
namespaces. This server's streams declare the usual two, so insertion is right for a stanza that
was cut from a stream that declared exactly these (`Stream.header` is None), whose own name has no
prefix and which brings no `from`. All others are parsed and written again with every namespace
spelt out.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmppd.framing import element
from amoc.xmppd.wire import LANG, NS_CLIENT, NS_XML, escape

# What may follow the element's name; anything else means that the name is a prefix or longer.
_AFTER_NAME: Final = b" >/\n\r\t"
_STARTS: Final = {
    kind: tuple(b"<" + kind.encode() + bytes([after]) for after in _AFTER_NAME)
    for kind in ("message", "presence", "iq")
}
_XML_PREFIX: Final = f"{{{NS_XML}}}"


def stamped(
    kind: str,
    attrs: dict[str, str],
    raw: bytes,
    *,
    header: bytes | None,
    stamp: bytes,
    changes: dict[str, str],
) -> bytes:
    """The stanza with its sender's address, ready for another client's stream.

    Args:
        kind: The stanza's name without namespace: message, presence or iq.
        attrs: Its attributes, as the parser gave them.
        raw: Its bytes.
        header: The header of the stream it came from, if that was unusual.
        stamp: The attributes of `changes` as markup, for insertion.
        changes: Attributes to set.
    """
    if header is None and raw.startswith(_STARTS[kind]) and changes.keys().isdisjoint(attrs):
        at = len(kind) + 1
        return raw[:at] + stamp + raw[at:]
    tree = element(header, raw)
    for name, value in changes.items():
        tree.set(f"{_XML_PREFIX}lang" if name == LANG else name, value)
    return serialise(tree)


def addressed(presence: bytes, to: str) -> bytes:
    """`presence`, as `stamped()` made it without a `to`, with that address."""
    return presence[:9] + f" to='{escape(to)}'".encode() + presence[9:]


def stamp(changes: dict[str, str]) -> bytes:
    """The attributes `changes` as markup, each with a blank before it."""
    return "".join(
        f" {'xml:lang' if name == LANG else name}='{escape(value)}'"
        for name, value in changes.items()
    ).encode()


def serialise(tree: Element) -> bytes:
    """`tree` as it must be written inside a stream whose default namespace is jabber:client."""
    parts: list[str] = []
    _write(tree, NS_CLIENT, parts)
    return "".join(parts).encode()


def _write(tree: Element, default: str, parts: list[str]) -> None:
    # Recursion is bounded by Limits.depth: the framing let no deeper element in.
    namespace, name = _split(tree.tag)
    parts.append(f"<{name}")
    if namespace != default:
        parts.append(f" xmlns='{escape(namespace)}'")
    for number, (key, value) in enumerate(tree.items()):
        parts.append(_attribute(key, value, number))
    text = tree.text
    if not text and len(tree) == 0:
        parts.append("/>")
        return
    parts.append(">")
    if text:
        parts.append(escape(text))
    for child in tree:
        _write(child, namespace, parts)
        if child.tail:
            parts.append(escape(child.tail))
    parts.append(f"</{name}>")


def _attribute(key: str, value: str, number: int) -> str:
    if key.startswith(_XML_PREFIX):
        return f" xml:{key.removeprefix(_XML_PREFIX)}='{escape(value)}'"
    namespace, name = _split(key)
    if not namespace:
        return f" {name}='{escape(value)}'"
    prefix = f"a{number}"
    return f" xmlns:{prefix}='{escape(namespace)}' {prefix}:{name}='{escape(value)}'"


def _split(tag: str) -> tuple[str, str]:
    if tag.startswith("{"):
        namespace, _, name = tag[1:].rpartition("}")
        return namespace, name
    return "", tag
