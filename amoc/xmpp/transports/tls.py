"""TLS over TCP: a layer between a `tcp.Transport` and what reads its plain text, alike on both sides.

It has no watcher and no greenlet of its own. It can take over a transport in the midst of its life,
as STARTTLS wants (RFC 6120 section 5), or right after the connection.

    transport = TlsTransport(Transport(sock, ...), terms, on_data, on_lost)
    transport.handshake(timeout)
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic_ns

from gevent import get_hub

from amoc.base.waiting import Waiter
from amoc.xmpp import meters
from amoc.xmpp.transports.tcp import Transport, ignore
from amoc.xmpp.transports.tls_context import TlsTerms
from amoc.xmpp.transports.tls_engine import TlsEngine
from amoc.xmpp.wire import first_bytes


class NotTls(ConnectionError):  # noqa: N818 - it is an answer, too
    """The peer does not speak TLS.

    Attributes:
        protocol: What it speaks; empty when that is unknown.
    """

    def __init__(self, protocol: str) -> None:
        super().__init__(f"the server does not speak TLS but {protocol or 'something else'}")
        self.protocol = protocol


class Truncated(ConnectionError):  # noqa: N818 - as above
    """The peer closed the connection without saying so within TLS."""

    def __init__(self) -> None:
        super().__init__(
            "it closed the connection without ending TLS (close_notify), so what it sent may be"
            " incomplete"
        )


class TlsTransport:
    """A transport that encrypts what is written to it, with the surface of `tcp.Transport`.

    Attributes:
        closed: Whether it was closed, by either side.
    """

    __slots__ = (
        "_below",
        "_engine",
        "_heard",
        "_on_data",
        "_on_lost",
        "_sessions",
        "_terms",
        "_waiter",
        "closed",
    )

    def __init__(
        self,
        below: Transport,
        terms: TlsTerms,
        on_data: Callable[[bytes], object],
        on_lost: Callable[[OSError | None], object],
    ) -> None:
        """Take over a transport, whose peer expects a TLS handshake next; see `handshake`.

        Args:
            below: Carries what is encrypted; this closes it.
            terms: How to secure the connection.
            on_data: Called in the hub with each piece of plain text; as in `tcp.Transport`.
            on_lost: Called once when the connection has ended, never before the handshake is done
                and never after `close`.
        """
        self._below = below
        self._terms = terms
        self._on_data = on_data
        self._on_lost = on_lost
        self._waiter: Waiter[OSError | None] | None = None
        self._heard = False
        self.closed = False
        self._sessions = terms.sessions
        session = None if terms.sessions is None else terms.sessions.get(terms.place)
        self._engine = TlsEngine(terms.context, server_name=terms.server_name, session=session)
        below.hand_over(self._on_encrypted, self._on_below_lost)

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
        if self._below.closed:
            raise Truncated
        begin_ns = monotonic_ns()
        waiter: Waiter[OSError | None] = Waiter()
        self._waiter = waiter
        self._engine.start()
        self._flush()
        try:
            if not waiter.wait(timeout):
                raise TimeoutError
        finally:
            self._waiter = None
        failure = waiter.value
        if failure is not None:
            try:
                raise failure
            finally:
                del failure, waiter  # no cycle: the traceback refers to this frame
        meters.tls_handshake.record_ns(monotonic_ns() - begin_ns)
        if self._engine.resumed:
            meters.tls_handshakes_resumed.inc()

    @property
    def engine(self) -> TlsEngine:
        """What was agreed on: version, certificate, channel binding."""
        return self._engine

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._below.unsent + self._engine.waiting

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as possible. Never waits; see `wait_drained`."""
        if self.closed:
            return
        try:
            self._engine.encrypt(data)
        except ssl.SSLError as error:
            # Not now: the caller may be a handler, called for what was read before.
            get_hub().loop.run_callback(self._end, error)
            return
        self._flush()

    def wait_drained(self, timeout: float) -> bool:
        """As `tcp.Transport.wait_drained`."""
        return self._below.wait_drained(timeout)

    def close(self) -> None:
        """Say goodbye (close_notify) and close the connection. Harmless the second time."""
        if self.closed:
            return
        self.closed = True
        self._engine.finish()
        self._flush()
        self._below.close()
        # No reference cycle: what is closed is freed at once, not when the collector comes.
        self._on_data = self._on_lost = ignore

    def _flush(self) -> None:
        if data := self._engine.outgoing():
            self._below.write(data)

    def _on_encrypted(self, data: bytes) -> None:
        engine = self._engine
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
        self._flush()
        if text:
            self._remember()
            self._on_data(text)
        if engine.ended:
            self._end(None)
        elif shaking and engine.established and self._waiter is not None:
            self._waiter.give(None)

    def _remember(self) -> None:
        # In TLS 1.3 tickets come after the handshake, and before anything else.
        if self._sessions is not None:
            session = self._engine.session
            if session is not None:
                self._sessions.put(self._terms.place, session)
            self._sessions = None

    def _on_below_lost(self, error: OSError | None) -> None:
        if error is None and not self._engine.ended:
            error = Truncated()
        self._end(error)

    def _end(self, error: OSError | None) -> None:
        if self.closed:
            return
        on_lost, waiter = self._on_lost, self._waiter
        self.close()
        if waiter is not None:
            waiter.set(error or Truncated())
            get_hub().loop.run_callback(waiter.wake)
        else:
            on_lost(error)
