"""What a stream runs over: a transport, and the framing of the stream on it.

A transport carries pieces: bytes for TCP and TLS, whole messages for WebSocket. The framing defines
how an XMPP stream is represented in these pieces. All pairs carry the same stream: RFC 6120 over
TCP and TLS, RFC 7395 over WebSocket, XEP-0206 over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from xml.etree.ElementTree import Element

from gevent import get_hub

from amoc.base.waiting import Waiter
from amoc.xmpp.wire.bosh import Dialogue
from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.message_framing import MessageFramer

Framing = Framer[Element] | MessageFramer[Element] | Dialogue
Piece = bytes | list[bytes]
"""Data received at once: bytes, or whole messages."""
OnData = Callable[[Any], object]
"""Any: a `Piece` of the kind that the framing accepts."""
OnLost = Callable[[Exception | None], object]


class Transport(Protocol):
    """Carries the data of a stream.

    Attributes:
        closed: Whether it was closed, by either side.
    """

    closed: bool

    @property
    def unsent(self) -> int:
        """Bytes not yet accepted by the kernel."""

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Start reading, or redirect received data to other callbacks.

        Args:
            on_data: Called in the hub with each piece; it may close the transport, and must not
                wait.
            on_lost: Called once when the peer closed the connection (None), when it was lost (an
                OSError, or an XmppError with the full explanation), or when the peer violated the
                transport's protocol (a Violation, with the transport still open); never after
                `close`.
        """

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as the peer accepts it. Never waits; see `wait_drained`."""

    def wait_drained(self, timeout: float) -> bool:
        """Wait until at most `SOFT_LIMIT` bytes are unsent, or the connection is lost.

        Args:
            timeout: In seconds.

        Returns:
            False on timeout.
        """

    def close(self) -> None:
        """Close the connection; unsent data is lost. Harmless the second time."""

    def cut(self, reset: bool) -> None:
        """Drop the connection without closing any layer: by a reset, or silently (`silence`)."""


class Senders:
    """Senders that wait until most of their data was accepted."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: tuple[Waiter[bool], ...] = ()

    def wait_woken(self, timeout: float) -> bool:
        """Wait until senders are woken; return False after `timeout` seconds."""
        waiter: Waiter[bool] = Waiter()
        self._waiting = (*self._waiting, waiter)
        try:
            return waiter.wait(timeout)
        finally:
            self._waiting = tuple(one for one in self._waiting if one is not waiter)

    def wake_senders(self) -> None:
        """Wake all, at the loop's next turn."""
        waiting, self._waiting = self._waiting, ()
        for waiter in waiting:
            waiter.set(True)
            get_hub().loop.run_callback(waiter.wake)  # the sender must not run inside this call


class Connection(NamedTuple):
    """A connected transport, and the framing of the stream on it."""

    transport: Transport
    framing: Framing
