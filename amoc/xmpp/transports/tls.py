"""TLS: a layer between a byte transport and the reader of its plaintext.

It has neither a watcher nor a greenlet of its own. It takes over a transport right after connecting
or, for STARTTLS, later (RFC 6120 section 5).

    transport = TlsTransport(below, terms)
    transport.handshake(timeout)
    transport.start(on_data, on_lost)
"""

from __future__ import annotations

import ssl
from time import monotonic_ns

from gevent import get_hub

from amoc.base.tls_context import TlsTerms
from amoc.base.tls_engine import TlsEngine
from amoc.base.tracebacks import raise_without_cycle
from amoc.base.waiting import Waiter, wait_despite_pause
from amoc.xmpp import meters
from amoc.xmpp.connection import causes
from amoc.xmpp.transports.connection import OnData, OnLost, Transport
from amoc.xmpp.transports.tcp import HARD_LIMIT, ignore
from amoc.xmpp.wire import first_bytes


class NotTls(ConnectionError):
    """The peer does not speak TLS.

    Attributes:
        protocol: The protocol it speaks; empty if unknown.
    """

    def __init__(self, protocol: str) -> None:
        super().__init__(f"the server does not speak TLS but {protocol or 'something else'}")
        self.protocol = protocol


class Truncated(ConnectionError):
    """The peer closed the connection without a TLS close_notify."""

    cause = causes.CLOSED

    def __init__(self) -> None:
        super().__init__(
            "it closed the connection without ending TLS (close_notify), so what it sent may be"
            " incomplete"
        )


class NotReading(ConnectionError):
    """The peer keeps making TLS itself answer, and does not read the answers."""

    cause = causes.NOT_READING

    def __init__(self) -> None:
        super().__init__(f"it does not read: more than {HARD_LIMIT} bytes are unsent")


class TlsTransport:
    """Encrypts what is written to it; see `Transport`.

    Attributes:
        closed: Whether it was closed, by either side.
        engine: The TLS state: version, certificate, channel binding.
    """

    __slots__ = (
        "_below",
        "_early",
        "_has_received",
        "_on_data",
        "_on_lost",
        "_place",
        "_sessions",
        "_waiter",
        "closed",
        "engine",
    )

    def __init__(self, below: Transport, terms: TlsTerms) -> None:
        """Take over a transport whose peer expects a TLS handshake next; see `handshake`.

        Args:
            below: Carries the encrypted data; closed together with this layer.
            terms: The TLS terms.

        Raises:
            ValueError: The server name is invalid.
        """
        self._below = below
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._early = b""
        self._has_received = False
        self._waiter: Waiter[Exception | None] | None = None
        self.closed = False
        self._sessions = terms.sessions
        self._place = terms.place
        session = None if terms.sessions is None else terms.sessions.get(terms.place)
        self.engine = TlsEngine(terms.context, server_name=terms.server_name, session=session)

    def handshake(self, timeout: float) -> None:
        """Perform the handshake, including the verification of the certificate.

        Args:
            timeout: In seconds.

        Raises:
            TimeoutError: It took longer.
            ssl.SSLError: It failed; `ssl.SSLCertVerificationError` if because of the certificate.
            NotTls: The peer does not speak TLS.
            OSError: The connection was lost.
        """
        begin_ns = monotonic_ns()
        waiter: Waiter[Exception | None] = Waiter()
        self._waiter = waiter
        self._below.start(self._on_encrypted, self._on_below_lost)
        self.engine.start()
        self._flush()
        if self._below.closed:
            raise Truncated
        try:
            if not wait_despite_pause(waiter, timeout):
                raise TimeoutError
        finally:
            self._waiter = None
        if waiter.value is not None:
            failures, waiter = [waiter.value], Waiter()
            raise_without_cycle(failures)
        meters.tls_handshake.record_ns(monotonic_ns() - begin_ns)
        if self.engine.resumed:
            meters.tls_handshakes_resumed.inc()
            self._sessions = None  # the cached session stays; reading the new one takes 0.4 ms
        if not self.engine.verifies:
            meters.tls_unverified.inc()

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Start reading plaintext, or redirect it to other callbacks; see `Transport`."""
        if self.closed:
            return
        self._on_data, self._on_lost = on_data, on_lost
        if self._early:
            early, self._early = self._early, b""
            on_data(early)

    @property
    def unsent(self) -> int:
        """Bytes not yet accepted by the kernel."""
        return self._below.unsent + self.engine.waiting

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as possible. Never waits; see `wait_drained`."""
        if self.closed:
            return
        try:
            self.engine.encrypt(data)
        except ssl.SSLError as error:
            # Deferred: the caller may be a handler, called for data read earlier.
            get_hub().loop.run_callback(self._end, error)
            return
        if encrypted := self.engine.outgoing():
            self._below.write(encrypted)

    def wait_drained(self, timeout: float) -> bool:
        """Wait until most data was sent; see `Transport`."""
        return self._below.wait_drained(timeout)

    def close(self) -> None:
        """Send close_notify and close the connection. Harmless the second time."""
        if self.closed:
            return
        self.engine.finish()
        self._flush()
        self._below.close()
        self._closed()

    def cut(self, reset: bool) -> None:
        """Drop the connection without close_notify; see `Transport`."""
        if not self.closed:
            self._below.cut(reset)
            self._closed()

    def _closed(self) -> None:
        self.closed = True
        # Breaks reference cycles, so that the object is freed at once, without the collector.
        self._on_data = self._on_lost = ignore

    def _flush(self) -> None:
        if data := self.engine.outgoing():
            self._below.write(data)

    def _on_encrypted(self, data: bytes) -> None:
        engine = self.engine
        shaking = not engine.established
        if shaking and not self._has_received:
            self._has_received = True
            if not first_bytes.is_tls(data):
                self._end(NotTls(first_bytes.protocol(data)))
                return
        try:
            text = engine.received(data)
        except ssl.SSLError as error:
            self._flush()  # an alert with the reason
            self._end(error)
            return
        if engine.to_peer:  # handshake data, or our new key in answer to the peer's
            is_too_much = self._below.unsent > HARD_LIMIT
            self._flush()
            if is_too_much:
                self._end(NotReading())
                return
        if text:
            if self._sessions is not None:
                self._remember()
            if self._on_data is ignore:
                self._early += text  # the reader starts in the same turn of the loop
            else:
                self._on_data(text)
        if engine.ended:
            self._end(None)
        elif shaking and engine.established and self._waiter is not None:
            self._waiter.give(None)

    def _remember(self) -> None:
        # In TLS 1.3, tickets arrive after the handshake, before any other data.
        sessions, self._sessions = self._sessions, None
        session = self.engine.session
        if sessions is not None and session is not None:
            sessions.put(self._place, session)

    def _on_below_lost(self, error: Exception | None) -> None:
        if error is None and not self.engine.ended:
            error = Truncated()
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        on_lost, waiter = self._on_lost, self._waiter
        self.close()
        if waiter is not None:
            waiter.set(error or Truncated())
            get_hub().loop.run_callback(waiter.wake)
        else:
            on_lost(error)
