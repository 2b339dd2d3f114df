"""TLS: a layer between a transport of bytes and what reads its plain text.

It has no watcher and no greenlet of its own. It takes over a transport right after the connection,
or in the midst of its life, as STARTTLS wants (RFC 6120 section 5).

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
        protocol: What it speaks; empty when that is unknown.
    """

    def __init__(self, protocol: str) -> None:
        super().__init__(f"the server does not speak TLS but {protocol or 'something else'}")
        self.protocol = protocol


class Truncated(ConnectionError):
    """The peer closed the connection without saying so within TLS."""

    cause = causes.CLOSED

    def __init__(self) -> None:
        super().__init__(
            "it closed the connection without ending TLS (close_notify), so what it sent may be"
            " incomplete"
        )


class NotReading(ConnectionError):
    """The peer makes TLS itself answer on and on, and does not read the answers."""

    cause = causes.NOT_READING

    def __init__(self) -> None:
        super().__init__(f"it does not read: more than {HARD_LIMIT} bytes are unsent")


class TlsTransport:
    """Encrypts what is written to it; see `Transport`.

    Attributes:
        closed: Whether it was closed, by either side.
        engine: What was agreed on: version, certificate, channel binding.
    """

    __slots__ = (
        "_below",
        "_early",
        "_heard",
        "_on_data",
        "_on_lost",
        "_place",
        "_sessions",
        "_waiter",
        "closed",
        "engine",
    )

    def __init__(self, below: Transport, terms: TlsTerms) -> None:
        """Take over a transport, whose peer expects a TLS handshake next; see `handshake`.

        Args:
            below: Carries what is encrypted; this closes it.
            terms: How to secure the connection.

        Raises:
            ValueError: The server's name cannot be asked for.
        """
        self._below = below
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._early = b""
        self._heard = False
        self._waiter: Waiter[Exception | None] | None = None
        self.closed = False
        self._sessions = terms.sessions
        self._place = terms.place
        session = None if terms.sessions is None else terms.sessions.get(terms.place)
        self.engine = TlsEngine(terms.context, server_name=terms.server_name, session=session)

    def handshake(self, timeout: float) -> None:
        """Agree with the peer on keys, and verify its certificate.

        Args:
            timeout: In seconds.

        Raises:
            TimeoutError: It took longer.
            ssl.SSLError: It failed; `ssl.SSLCertVerificationError` if that is the certificate's
                fault.
            NotTls: The peer does not speak TLS.
            OSError: The connection broke.
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
            self._sessions = None  # the one that is kept serves; to read one takes 0.4 ms
        if not self.engine.verifies:
            meters.tls_unverified.inc()

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Begin to read plain text, or let another take over what is read; see `Transport`."""
        if self.closed:
            return
        self._on_data, self._on_lost = on_data, on_lost
        if self._early:
            early, self._early = self._early, b""
            on_data(early)

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._below.unsent + self.engine.waiting

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as possible. Never waits; see `wait_drained`."""
        if self.closed:
            return
        try:
            self.engine.encrypt(data)
        except ssl.SSLError as error:
            # Not now: the caller may be a handler, called for what was read before.
            get_hub().loop.run_callback(self._end, error)
            return
        if encrypted := self.engine.outgoing():
            self._below.write(encrypted)

    def wait_drained(self, timeout: float) -> bool:
        """Wait until most was sent; see `Transport`."""
        return self._below.wait_drained(timeout)

    def close(self) -> None:
        """Say goodbye (close_notify) and close the connection. Harmless the second time."""
        if self.closed:
            return
        self.engine.finish()
        self._flush()
        self._below.close()
        self._closed()

    def cut(self, reset: bool) -> None:
        """Drop the connection without a goodbye; see `Transport`."""
        if not self.closed:
            self._below.cut(reset)
            self._closed()

    def _closed(self) -> None:
        self.closed = True
        # No reference cycle: what is closed is freed at once, not when the collector comes.
        self._on_data = self._on_lost = ignore

    def _flush(self) -> None:
        if data := self.engine.outgoing():
            self._below.write(data)

    def _on_encrypted(self, data: bytes) -> None:
        engine = self.engine
        shaking = not engine.established
        if shaking and not self._heard:
            self._heard = True
            if not first_bytes.is_tls(data):
                self._end(NotTls(first_bytes.protocol(data)))
                return
        try:
            text = engine.received(data)
        except ssl.SSLError as error:
            self._flush()  # an alert, which says what we did not like
            self._end(error)
            return
        if engine.to_peer.pending:  # of the handshake, or a new key for the peer's new key
            is_too_much = self._below.unsent > HARD_LIMIT
            self._flush()
            if is_too_much:
                self._end(NotReading())
                return
        if text:
            if self._sessions is not None:
                self._remember()
            if self._on_data is ignore:
                self._early += text  # its reader starts in the same turn of the loop
            else:
                self._on_data(text)
        if engine.ended:
            self._end(None)
        elif shaking and engine.established and self._waiter is not None:
            self._waiter.give(None)

    def _remember(self) -> None:
        # In TLS 1.3 tickets come after the handshake, and before anything else.
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
