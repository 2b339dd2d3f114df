"""Puts the sender's address into a stanza: inserted where that is safe, else by re-serialising.

A stanza's bytes mean the same in the receiver's stream only if both streams declare the same
namespaces. This server's streams declare the usual two. So insertion is right for a stanza that was
cut from a stream that declared exactly these (`Framer.root` is None), whose own name has no prefix,
and which has no `from`. All others are parsed and serialised again, with all namespaces declared.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.xml_text import escape, serialise

# What may follow the element's name; anything else means that the name is longer, or a prefix.
_AFTER_NAME: Final = b" >/\n\r\t"
_STARTS: Final = {
    kind: tuple(b"<" + kind.encode() + bytes([after]) for after in _AFTER_NAME)
    for kind in ("message", "presence", "iq")
}


def stamped(
    kind: str,
    attrs: dict[str, str],
    raw: bytes,
    *,
    root: bytes | None,
    stamp: bytes,
    changes: dict[str, str],
) -> bytes:
    """Return the stanza with its sender's address, ready for another client's stream.

    Args:
        kind: The stanza's name without namespace: message, presence or iq.
        attrs: Its attributes, as the parser gave them.
        raw: Its bytes.
        root: As in `Framer.root`, of the stream that it came from.
        stamp: The attributes of `changes` as markup, for insertion.
        changes: Attributes to set.
    """
    if root is None and raw.startswith(_STARTS[kind]) and changes.keys().isdisjoint(attrs):
        at = len(kind) + 1
        return raw[:at] + stamp + raw[at:]
    stanza = tree(root, raw)
    for name, value in changes.items():
        stanza.set(name, value)
    return serialise(stanza, inherit=False).encode()


def addressed(presence: bytes, to: str) -> bytes:
    """Return `presence`, as returned by `stamped()` without a `to`, with the address `to`."""
    return presence[:9] + f" to='{escape(to)}'".encode() + presence[9:]


def stamp(changes: dict[str, str]) -> bytes:
    """Return the attributes `changes` as markup, each with a space before it."""
    return "".join(
        f" {'xml:lang' if name == LANG else name}='{escape(value)}'"
        for name, value in changes.items()
    ).encode()


class Opened(NamedTuple):
    """A stanza taken apart, so that each of its many recipients costs one concatenation.

    The stanza is ``head`` + attributes + ``>`` + ``inner`` + further children + ``</name>``.
    """

    head: bytes
    """Its start tag without the closing bracket, and without `to`."""
    inner: bytes
    """All its children."""


# Quotes may hide a bracket. The branches start with different characters: linear time.
_HEAD: Final = re.compile(rb"<(message|presence|iq)([^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*)>")


def opened(kind: str, attrs: dict[str, str], raw: bytes, **changes: str | None) -> Opened:
    """Return a stanza with changed attributes, prepared for a `to` and further children.

    Attributes in foreign namespaces are omitted.

    Args:
        kind: message, presence or iq.
        attrs: Its attributes, as the parser gave them.
        raw: Its bytes, valid in any stream of this server.
        changes: Attributes to set, or None to omit; a trailing underscore is not part of a
            name.
    """
    match = _HEAD.match(raw)
    if match is None or b"xmlns" in match[2]:
        stanza = tree(None, raw)
        for name in [name for name in stanza.attrib if name.startswith("{") and name != LANG]:
            del stanza.attrib[name]
        raw = serialise(stanza, inherit=False).encode()
        match = _HEAD.match(raw)
        assert match is not None
    inner = b"" if match[2].endswith(b"/") else raw[match.end() : raw.rindex(b"</")]
    kept = {name: value for name, value in attrs.items() if name == LANG or name[0] != "{"}
    kept.pop("to", None)
    for name, value in changes.items():
        if value is None:
            kept.pop(name.rstrip("_"), None)
        else:
            kept[name.rstrip("_")] = value
    return Opened(b"<" + kind.encode() + stamp(kept), inner)


def as_child(stanza: bytes) -> bytes:
    """Return a stanza as a child of an element in another namespace."""
    match = _HEAD.match(stanza)
    if match is None or b"xmlns" in match[2]:
        return stanza  # it declares its own namespace
    at = match.end(1)
    return stanza[:at] + b" xmlns='" + ns.CLIENT.encode() + b"'" + stanza[at:]


def with_child(stanza: bytes, child: bytes) -> bytes:
    """Return a stanza with one more child at its end."""
    if stanza.endswith(b"/>"):  # only possible for a stanza without content
        name = stanza[1:-2].split(None, 1)[0]
        return stanza[:-2] + b">" + child + b"</" + name + b">"
    at = stanza.rindex(b"</")
    return stanza[:at] + child + stanza[at:]
