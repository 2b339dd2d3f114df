"""What a stream runs over: a transport, and the framing of what goes over it.

A transport carries pieces: TCP and TLS bytes, WebSocket whole messages. The framing says how an
XMPP stream looks in these pieces. Each pair gives the same stream: RFC 6120 over TCP and TLS, RFC
7395 over WebSocket, XEP-0206 over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from xml.etree.ElementTree import Element

from amoc.xmpp.wire.framing import Framing

Piece = bytes | list[bytes]
"""What comes at once: bytes, or whole messages."""
OnData = Callable[[Any], object]
"""Any: a `Piece` of the kind that the framing takes."""
OnLost = Callable[[Exception | None], object]


class Transport(Protocol):
    """Carries what a stream says.

    Attributes:
        closed: Whether it was closed, by either side.
    """

    closed: bool

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Begin to read, or let another take over what is read.

        Args:
            on_data: Called in the hub with each piece; it may close the transport, and must not
                wait.
            on_lost: Called once when the peer closed the connection (None), it broke (an OSError,
                or an XmppError that says it all), or the peer broke a rule of the transport (a
                Violation, the transport not being closed then); never after `close`.
        """

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as the peer takes it. Never waits; see `wait_drained`."""

    def wait_drained(self, timeout: float) -> bool:
        """Wait until no more than `SOFT_LIMIT` bytes are unsent, or the connection is gone.

        Args:
            timeout: In seconds.

        Returns:
            Whether that was so in time.
        """

    def close(self) -> None:
        """Close the connection; what was not sent is lost. Harmless the second time."""

    def cut(self, reset: bool) -> None:
        """Be gone without a goodbye of any layer: by a reset, or in silence (`silence`)."""


class Connection(NamedTuple):
    """A transport that is connected, and what frames a stream on it."""

    transport: Transport
    framing: Framing[Element]
