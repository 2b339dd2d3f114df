"""Puts the sender's address into a stanza: inserted where that is safe, else written anew.

A stanza's bytes mean the same in the receiver's stream only if both streams declare the same
namespaces. This server's streams declare the usual two, so insertion is right for a stanza that
was cut from a stream that declared exactly these (`Framer.root` is None), whose own name has no
prefix and which brings no `from`. All others are parsed and written again with every namespace
spelt out.
"""

from __future__ import annotations

from typing import Final

from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.xml_text import escape, serialise

# What may follow the element's name; anything else means that the name is a prefix or longer.
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
    """The stanza with its sender's address, ready for another client's stream.

    Args:
        kind: The stanza's name without namespace: message, presence or iq.
        attrs: Its attributes, as the parser gave them.
        raw: Its bytes.
        root: As in `Framer.root`, of the stream it came from.
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
    """`presence`, as `stamped()` made it without a `to`, with that address."""
    return presence[:9] + f" to='{escape(to)}'".encode() + presence[9:]


def stamp(changes: dict[str, str]) -> bytes:
    """The attributes `changes` as markup, each with a blank before it."""
    return "".join(
        f" {'xml:lang' if name == LANG else name}='{escape(value)}'"
        for name, value in changes.items()
    ).encode()
