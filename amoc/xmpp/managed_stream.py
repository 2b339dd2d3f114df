"""A stream with stream management: it keeps sent stanzas until they are acknowledged (XEP-0198).

Only users that want stream management have one, so it costs the others nothing. The server is asked
for an acknowledgement after every xmpp_ack_every stanzas, and at the latest xmpp_ack_interval after
a stanza. Unacknowledged stanzas are limited: a user that has sent xmpp_max_unacknowledged stanzas,
or `MAX_UNACKNOWLEDGED_BYTES`, waits for the server. Handlers, which cannot wait, may send up to
`HARD_FACTOR` times as much; beyond that the connection counts as broken.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gevent import get_hub

from amoc.base.timers import call_later
from amoc.xmpp import meters, options
from amoc.xmpp.connection import causes
from amoc.xmpp.errors import Disconnected
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.stream import Owner, Stream
from amoc.xmpp.transports.connection import Connection, Piece, Senders
from amoc.xmpp.wire import stream_management as sm

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

HARD_FACTOR: Final = 10
MAX_UNACKNOWLEDGED_BYTES: Final = 1 << 20


class ManagedStream(Stream):
    """A client's stream with optional stream management.

    Attributes:
        management: The counters and the unacknowledged stanzas; None until it is enabled.
    """

    __slots__ = (
        "_ack_due",
        "_counting",
        "_every",
        "_given_up",
        "_most",
        "_senders",
        "_timer",
        "management",
    )

    def __init__(self, connection: Connection, owner: Owner, who: str) -> None:
        """Take over a connection; stream management is off at first."""
        self.management: sm.Management | None = None
        self._counting = False  # received stanzas count from the server's confirmation on
        self._ack_due = False
        self._given_up = False
        self._every: int = options.xmpp_ack_every.get()
        self._most: int = options.xmpp_max_unacknowledged.get()
        self._timer: _TimerWatcher | None = None
        self._senders = Senders()
        super().__init__(connection, owner, who)

    def enable(self, resumable: bool) -> None:
        """Request stream management; stanzas sent after this count."""
        super().send(sm.enable(resumable))
        self.management = sm.Management()

    def resume(self, management: sm.Management) -> None:
        """Request the resumption of a lost stream."""
        super().send(management.resume())
        self.management = management

    def replay(self, timeout: float) -> bool:
        """Resend, after a resumption, what the server has not acknowledged.

        Args:
            timeout: How long the server may take to read it, in seconds.

        Returns:
            Whether the server read it, or ended the stream, in time.
        """
        assert self.management is not None
        until = monotonic() + timeout
        sent = self.management.sent
        sent.asked = 0
        for stanza in tuple(sent.stanzas):  # a copy: the server may acknowledge some meanwhile
            if super().congested and not super().wait_sendable(until - monotonic()):
                return False
            super().send(stanza)
        if sent.stanzas:
            self._ask()
        return True

    def send(self, data: bytes) -> bool:
        """Send an element, and keep it if it is a stanza; return whether it is now `congested`."""
        is_congested = super().send(data)
        if self.management is None:
            return is_congested
        sent = self.management.sent
        for stanza in sm.stanzas_in(data):
            sent.add(stanza)
        many = len(sent.stanzas)
        if many - sent.asked >= self._every:
            self._ask()
        elif self._timer is None and many > sent.asked:
            self._start_timer()
        most, most_bytes = self._most * HARD_FACTOR, MAX_UNACKNOWLEDGED_BYTES * HARD_FACTOR
        if (many > most or sent.size > most_bytes) and not self.ended:
            self.fail(
                Disconnected(
                    f"{self.who}: the server acknowledges too little: more than {most} stanzas or"
                    f" {most_bytes} bytes are unacknowledged",
                    causes.NOT_READING,
                )
            )
        return self.congested

    @property
    def congested(self) -> bool:
        """Whether so much is unsent or unacknowledged that senders should wait if they can."""
        return self._too_many or super().congested

    @property
    def _too_many(self) -> bool:
        if self.management is None:
            return False
        sent = self.management.sent
        return len(sent.stanzas) > self._most or sent.size > MAX_UNACKNOWLEDGED_BYTES

    def wait_sendable(self, timeout: float) -> bool:
        """Wait until the server has accepted and acknowledged most of what was sent."""
        until = monotonic() + timeout
        if not super().wait_sendable(timeout):
            return False
        if self._ack_due or self._too_many:  # perhaps because of a few large stanzas
            self._exchange_acks()
        while self._too_many and not self.ended:
            if not self._senders.wait_woken(until - monotonic()):
                return False
        return True

    def on_element(self, element: Element | Stanza) -> None:
        """A child of the stream has arrived."""
        management, tag = self.management, element.tag
        if management is None:
            super().on_element(element)
        elif tag in sm.STANZAS:
            if self._counting:
                management.handle()
            super().on_element(element)
        elif tag == sm.ACK:
            assert isinstance(element, Element)
            management.sent.acknowledge(sm.h_of(element.get("h")))
            self._senders.wake_senders()
        elif tag == sm.REQUEST:
            self._ack_due = True
        else:
            self._counting = self._counting or tag in (sm.ENABLED, sm.RESUMED)
            super().on_element(element)

    def _on_data(self, data: Piece) -> None:
        super()._on_data(data)
        if self._ack_due and not self.ended:  # once for all requests in a chunk
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Acknowledge handled stanzas; later if the server does not read, or during login."""
        if self.owner.handles and not super().congested:
            self._ack_due = False
            assert self.management is not None
            super().send(self.management.ack())
        elif self._timer is None:
            self._start_timer()

    def close_our_half(self, error: bytes = b"") -> None:
        """Acknowledge handled stanzas, so that the server does not resend them; then close."""
        if self._counting and self.owner.handles and not self.closing and not self.ended:
            assert self.management is not None
            super().send(self.management.ack())
        super().close_our_half(error)

    def give_up(self) -> None:
        """Count, once, what the server may not have handled: nothing after an orderly close."""
        orderly = self.goodbye and self.failure is None
        if self.management is not None and not orderly and not self._given_up:
            self._given_up = True
            meters.stanzas_unacknowledged.inc(len(self.management.sent))

    def _ask(self) -> None:
        assert self.management is not None
        self.management.sent.ask()
        super().send(sm.REQUEST_BYTES)

    def _exchange_acks(self) -> None:
        self._drop_timer()
        if self.ended:
            return
        if self._ack_due:
            self._acknowledge()
        if self.management is not None and self.management.sent.unasked:
            self._ask()

    def _start_timer(self) -> None:
        if not self.ended:
            seconds = options.xmpp_ack_interval.get()
            self._timer = call_later(get_hub().loop, seconds, self._exchange_acks)

    def _drop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()

    def _over(self) -> None:
        super()._over()
        self._drop_timer()
        self._senders.wake_senders()
