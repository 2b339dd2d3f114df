"""Pure. The stream of an external component (XEP-0114): another namespace, and a handshake.

Above the parser, a component's stanzas look like a client's, so the other code serves both.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.parsers import TreeParser

HANDSHAKE: Final = f"{{{ns.CLIENT}}}handshake"
_START: Final = ns.COMPONENT + "}"


class ComponentParser(TreeParser):
    """Builds elements as if they were in the client's namespace."""

    namespace: ClassVar[str] = ns.COMPONENT

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        if name.startswith(_START):
            name = f"{ns.CLIENT}}}{name[len(_START) :]}"
        super()._start(name, attrs)


class ComponentFramer(Framer[Element]):
    """Frames a component's stream."""

    __slots__ = ()

    @property
    def stream_id(self) -> str | None:
        """The id that the server gave the stream; None before its header has arrived."""
        header = None if self.parser is None else self.parser.header
        return None if header is None else header.get("id", "")

    def header(self, addresses: str) -> bytes:
        """Return a stream header (section 3)."""
        return (
            f"<?xml version='1.0'?><stream:stream xmlns='{ns.COMPONENT}'"
            f" xmlns:stream='{ns.STREAMS}'{addresses}>"
        ).encode()


def handshake(stream_id: str, secret: str) -> bytes:
    """Return the proof that the component knows the secret (section 3)."""
    digest = hashlib.sha1((stream_id + secret).encode()).hexdigest()  # noqa: S324 - XEP-0114
    return f"<handshake>{digest}</handshake>".encode()
