"""TLS between a connection and its socket. Contexts and sessions are shared in a worker."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic_ns

from gevent import get_hub

from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError, value_error_as
from amoc.base.tcp import Socket
from amoc.base.tls_context import Sessions, TlsOptions, TlsTerms, shared
from amoc.base.tls_engine import TlsEngine
from amoc.base.waiting import Waiter, wait_despite_pause

READ_BYTES = 16 << 10
MAX_READS = 1_000
"""Maximum number of reads in a handshake."""


def terms_for(options: TlsOptions, server_name: str, place: object) -> TlsTerms:
    """Return the TLS parameters of a connection.

    Args:
        options: Options of the context.
        server_name: Name that the certificate must be valid for.
        place: The server. Connections to the same one resume sessions.

    Raises:
        ScenarioError: The options are invalid.
    """
    with value_error_as(ScenarioError, "the TLS options of HTTP "):
        context, sessions = shared(options)
    return TlsTerms(context, server_name, sessions, (place, server_name))


class TlsChannel:
    """Encrypts what a connection sends, and decrypts what it receives.

    Attributes:
        engine: The TLS engine.
        is_new: Whether a session is to be stored once the server has sent data.
        is_resumed: Whether an earlier session was resumed.
        verifies: Whether the server's certificate is verified.
    """

    __slots__ = ("_place", "_sessions", "engine", "is_new", "is_resumed", "verifies")

    def __init__(self, terms: TlsTerms) -> None:
        self._sessions: Sessions | None = terms.sessions
        self._place = terms.place
        session = None if terms.sessions is None else terms.sessions.get(terms.place)
        self.engine = TlsEngine(terms.context, server_name=terms.server_name, session=session)
        self.is_resumed = self.is_new = False
        self.verifies = terms.context.verify_mode != ssl.CERT_NONE

    def received(self, data: bytes, send: Callable[[bytes], object]) -> bytes:
        """Return the plain text of received data; `send` is called with replies of TLS itself.

        Raises:
            OSError: `ssl.SSLError` if TLS itself failed.
        """
        engine = self.engine
        text = engine.received(data)
        if engine.to_peer:  # a reply to a key update, for example
            send(engine.outgoing())
        if self.is_new and text:
            self._remember()
        return text

    def _remember(self) -> None:
        """Store the session. TLS 1.3 sends tickets after the handshake, before any data."""
        self.is_new = False
        if self._sessions is not None and (session := self.engine.session) is not None:
            self._sessions.put(self._place, session)

    def handshake(self, sock: Socket, timeout: float) -> None:
        """Perform the handshake, and verify the server's certificate.

        Raises:
            TimeoutError: It took longer than `timeout` seconds.
            OSError: It failed; `ssl.SSLError` if TLS itself did.
        """
        engine = self.engine
        deadline_ns = monotonic_ns() + int(timeout * S_NS)
        engine.start()
        reader = get_hub().loop.io(sock.fileno(), 1)
        try:
            for _ in range(MAX_READS):
                if reply := engine.outgoing():
                    sock.send(reply)
                if engine.established:
                    break
                waiter: Waiter[None] = Waiter()
                reader.start(waiter.give, None)
                if not wait_despite_pause(waiter, (deadline_ns - monotonic_ns()) / S_NS):
                    raise TimeoutError
                try:
                    data = sock.recv(READ_BYTES)
                except BlockingIOError:
                    continue
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                self._handshake_goes_on(sock, data)
        finally:
            reader.close()
        if not engine.established:
            raise ConnectionAbortedError("the handshake has no end")
        if engine.resumed:
            self.is_resumed = True  # keep using the stored session: reading one takes 0.4 ms
        else:
            self.is_new = self._sessions is not None

    def _handshake_goes_on(self, sock: Socket, data: bytes) -> None:
        try:
            early = self.engine.received(data)
        except ssl.SSLError:
            if alert := self.engine.outgoing():
                sock.send(alert)
            raise
        if early:
            raise ConnectionAbortedError("the server sent data before any request")
