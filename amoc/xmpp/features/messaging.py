"""Features that accompany messages: chat states, receipts, markers, carbons, client state.

A receipt confirms that a message has reached a client (XEP-0184), a marker that its user has seen
it (XEP-0333). Both name the message by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from amoc.base.errors import ScenarioError
from amoc.xmpp import encode, options, request_counts
from amoc.xmpp.errors import ReceiveTimeout
from amoc.xmpp.match import asks_for_receipt, is_receipt
from amoc.xmpp.receiving import Listener
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape

STATES: Final = ("active", "composing", "gone", "inactive", "paused")
MARKERS: Final = ("acknowledged", "displayed", "received")
WANTS_RECEIPT: Final = f"<request xmlns='{ns.RECEIPTS}'/>"
"""Payload of a message whose sender requests a receipt."""
WANTS_MARKERS: Final = f"<markable xmlns='{ns.MARKERS}'/>"
"""Payload of a message whose sender requests markers."""


class Messaging(Listener):
    """Calls for chat states, receipts, markers and carbons."""

    __slots__ = ()

    def send_chat_state(self, to: str | int, state: str) -> None:
        """Tell `to` what the user is doing in the chat (XEP-0085).

        Args:
            to: A JID, or a user's number.
            state: ``active``, ``composing``, ``paused``, ``inactive`` or ``gone``.

        Raises:
            XmppError, ClosedError: As `send_chat`.
            ScenarioError: There is no such state.
        """
        _check("a chat state", state, STATES)
        self._send_bare(to, f"<{state} xmlns='{ns.CHAT_STATES}'/>")

    def send_receipt(self, message: Stanza) -> None:
        """Confirm that `message` has arrived (XEP-0184).

        Raises:
            XmppError, ClosedError: As `send_chat`.
        """
        receipt = f"<received xmlns='{ns.RECEIPTS}' id='{escape(message.id)}'/>"
        self._send_bare(message.sender, receipt, message.type)

    def send_marker(self, message: Stanza, marker: str = "displayed") -> None:
        """Mark `message` as ``received``, ``displayed`` or ``acknowledged`` (XEP-0333).

        Raises:
            XmppError, ClosedError: As `send_chat`.
            ScenarioError: There is no such marker.
        """
        _check("a marker", marker, MARKERS)
        self._send_bare(
            message.sender,
            f"<{marker} xmlns='{ns.MARKERS}' id='{escape(message.id)}'/>",
            message.type,
        )

    def send_receipts(self) -> Callable[[], None]:
        """Confirm each message whose sender requests a receipt, as soon as it arrives.

        Returns:
            A function that stops it again.
        """
        # The handler must not hold the client: it is kept by the session, which the client holds,
        # until the session ends. A resumed session has another stream.
        session = self._session

        def confirm(message: Stanza) -> None:
            receipt = f"<received xmlns='{ns.RECEIPTS}' id='{escape(message.id)}'/>"
            head = attributes(to=message.sender, type=message.type)
            session.stream.send(f"<message{head}>{receipt}</message>".encode())

        return self.on_received(asks_for_receipt, confirm)

    def send_chat_and_wait(self, to: str | int, body: str, timeout: float | None = None) -> float:
        """Send a chat message and wait for its receipt, timed as ``receipt``.

        Args:
            to: A JID, or a user's number, whose client confirms messages (`send_receipts`).
            body: The text.
            timeout: In seconds; None for xmpp_request_timeout.

        Returns:
            The time to the receipt, in seconds.

        Raises:
            ReceiveTimeout: No receipt arrived in time.
            XmppError, ClosedError, ScenarioError: As `send_chat`.
        """
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        before, after = encode.message(to, body, "chat", WANTS_RECEIPT)
        self._wait_ready()
        stanza_id = self.stamp(to)
        confirmed_ns: list[int] = []

        def confirm(receipt: Stanza) -> None:
            confirmed_ns.append(receipt.received_ns)

        off = self.on_received(is_receipt(stanza_id), confirm)
        begin_ns = monotonic_ns()
        try:
            self._put(f"{before}{stanza_id}{after}".encode(), True)
            if not self._wait_for(lambda: confirmed_ns, seconds, "receipt"):
                raise ReceiveTimeout(
                    f"{self._session.stream.who}: no receipt arrived within {seconds:g} s from {to}"
                )
        finally:
            off()
        request_counts.answered("receipt", confirmed_ns[0] - begin_ns, None)
        return (confirmed_ns[0] - begin_ns) / 1e9

    def carbons(self, enabled: bool = True, timeout: float | None = None) -> None:
        """Turn copies of what the user's other clients send and receive on or off (XEP-0280).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        what = "enable" if enabled else "disable"
        self.request(f"<{what} xmlns='{ns.CARBONS}'/>", timeout, type="set", name="carbons")

    def inactive(self) -> None:
        """Tell the server that the client is inactive (XEP-0352), so that it may delay stanzas.

        Raises:
            XmppError, ClosedError: As `send`.
        """
        self.send(f"<inactive xmlns='{ns.CSI}'/>")

    def active(self) -> None:
        """Tell the server that the client is active again.

        Raises:
            XmppError, ClosedError: As `send`.
        """
        self.send(f"<active xmlns='{ns.CSI}'/>")

    def _send_bare(self, to: str | int, payload: str, kind: str = "chat") -> None:
        """Send a message without a body and an id, so that it is not timed."""
        self._send(f"{encode.message_tag(to, kind)}>{payload}</message>".encode(), True)


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ScenarioError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")
