"""The server as a whole: the listening socket, all connections, and the work of a loop turn.

Everything runs in callbacks of one gevent loop, in one thread: there is nothing to lock, and there
are no greenlets. A turn of the loop reads and routes what has arrived, `flush()` sends the results,
and the loop waits. Deadlines are checked four times a second.
"""

from __future__ import annotations

import _socket  # the plain module, even if `socket` is patched
import errno
import logging
import os
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import gevent
from gevent.event import Event

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ClosedError, ResourceError, UsageError
from amoc.xmpp.wire.elements import STREAM_END, stream_error, stream_header
from amoc.xmpp.wire.mechanisms import SERVER_MECHANISMS
from amoc.xmppd import front
from amoc.xmppd.deadlines import Deadlines
from amoc.xmppd.jids import JidError, prepare_domain
from amoc.xmppd.limits import Limits
from amoc.xmppd.relay import READ, Fronts, Relayed, accept
from amoc.xmppd.routing import Domain
from amoc.xmppd.statistics import Statistics
from amoc.xmppd.transport import Transport
from amoc.xmppd.websocket import FirstBytes

if TYPE_CHECKING:
    from gevent._types import _IoWatcher, _Loop, _Watcher

log = logging.getLogger("amoc.xmppd")

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel's own limit is net.core.somaxconn."""

RESERVE: Final = 64
"""File descriptors for everything that is not a client: standard streams, loop, listener."""

_ACCEPTS_PER_TURN: Final = 256
_TICK_S: Final = 0.25
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Server:
    """An XMPP server for tests and benchmarks, in the gevent loop of the process that starts it.

    Use it with `with`, or call `start()` and `stop()`.

    Attributes:
        host: The address it listens on.
        port: The port; after `start()` the actual one if any free port was requested.
        domain: The state shared by all connections.
        limits: Limits per client.
        capacity: Maximum number of open connections.
    """

    loop: _Loop
    _acceptor: _IoWatcher
    _flusher: _Watcher
    _ticker: _Watcher

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        domain: str = "localhost",
        connections: int = 2000,
        anonymous: bool = True,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        tls_required: bool = False,
    ) -> None:
        """Prepare a server; nothing is opened yet.

        Args:
            host: A numeric address or a name of this host.
            port: 0 for any free port.
            domain: The only domain that is served.
            connections: How many connections must be possible at once.
            anonymous: Whether to offer ANONYMOUS, which some clients choose without being asked to.
            limits: Limits other than the defaults.
            tls: Its TLS context; see `certificate`. Clients may then use STARTTLS, or begin with
                TLS on the same port.
            tls_required: Whether they must use TLS to log in.

        Raises:
            UsageError: The port, the domain or the number of connections is invalid.
        """
        if not 0 <= port <= 65535:
            raise UsageError(f"port must be from 0 to 65535, got {port}")
        if connections < 1:
            raise UsageError(f"connections must be at least 1, got {connections}")
        try:
            name = prepare_domain(domain)
        except JidError as error:
            raise UsageError(f"domain {domain!r} cannot be served: {error}") from None
        self.host = host
        self.port = port
        self.limits = limits if limits is not None else Limits()
        offered = tuple(it for it in SERVER_MECHANISMS if anonymous or it != "ANONYMOUS")
        self.domain = Domain(name, self.limits, offered)
        self.domain.tls, self.domain.tls_required = tls, tls_required
        self.capacity = 0
        self.dirty: list[Transport] = []
        self.choked: list[Transport] = []
        self.logging_in: Deadlines[Transport] = Deadlines(self.limits.login_s)
        self.mid_stanza: Deadlines[Transport] = Deadlines(self.limits.stanza_s)
        self.stalled: Deadlines[Transport] = Deadlines(self.limits.stall_s)
        self.lingering: Deadlines[Transport] = Deadlines(self.limits.linger_s)
        self.bytes_in = 0
        self.bytes_out = 0
        self._wanted = connections
        self._transports: set[Transport] = set()
        self._socket: _socket.socket | None = None
        self._front_sockets: list[_socket.socket] = []
        self._fronts: Fronts | None = None
        self._empty = Event()
        self._started_ns = 0
        self._exhausted = False
        self._accepting = False

    def __repr__(self) -> str:
        return (
            f"<Server {self.domain.name} at {self.address}: "
            f"{len(self._transports)} connections, {len(self.domain.sessions)} clients>"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def fork_fronts(self, count: int) -> None:
        """Let `count` processes hold the connections, see `front`; call this before `start`.

        They are forked, so this process must not have a gevent loop yet.

        Raises:
            ResourceError: The address cannot be listened on, or there are too few file descriptors.
        """
        share = -(-self._wanted // count)
        connection_limit(share + RESERVE)
        self._socket = self._listen()
        # Each accepts more than its share, so that a client beyond the limit gets an error.
        self._front_sockets = front.fork(count, self._socket, share + RESERVE, self.limits)

    def start(self) -> None:
        """Listen, and serve whenever the gevent loop runs.

        Raises:
            ResourceError: The address cannot be listened on, or there are too few file descriptors.
            ClosedError: It was started before.
        """
        if self._started_ns:
            raise ClosedError("a Server can be started only once; create a new one")
        fronts = self._front_sockets
        self.capacity = self._wanted if fronts else connection_limit(self._wanted)
        self._socket = self._socket or self._listen()
        self.port = self._socket.getsockname()[1]
        self.loop = gevent.get_hub().loop
        self._started_ns = now_ns()
        self._acceptor = self.loop.io(self._socket.fileno(), READ)
        if fronts:
            self._fronts = Fronts(self.loop, fronts, self._welcome)
            self._accepting = True  # the front processes do
        self.tick()
        self._flusher = self.loop.prepare()
        self._flusher.start(self.flush)
        self._ticker = self.loop.timer(_TICK_S, _TICK_S)
        self._ticker.start(self.tick)

    def stop(self, timeout: float = 2.0) -> None:
        """End every stream with system-shutdown, and return when all are closed.

        Args:
            timeout: Seconds for clients to read what was sent to them before they are cut off.
        """
        if self._socket is None:
            return
        self._acceptor.close()
        self._socket.close()
        self._socket = None
        for transport in list(self._transports):
            transport.session.fail("system-shutdown")
        self.flush()
        if self._transports:
            self._empty.wait(timeout)
        for transport in list(self._transports):
            transport.close()
        for watcher in (self._flusher, self._ticker):
            watcher.close()
        if self._fronts is not None:
            self._fronts.close()

    def statistics(self) -> Statistics:
        """Return the current statistics."""
        counts = self.domain.counts
        return replace(
            counts,
            uptime_s=(now_ns() - self._started_ns) / S_NS if self._started_ns else 0.0,
            connections=len(self._transports),
            accounts=len(self.domain.accounts),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            stream_errors=dict(counts.stream_errors),
        )

    def forget(self, transport: Transport) -> None:
        """Remove a closed transport."""
        self._transports.discard(transport)
        for deadlines in (self.logging_in, self.mid_stanza, self.stalled, self.lingering):
            deadlines.discard(transport)
        if not self._transports:
            self._empty.set()

    def _listen(self) -> _socket.socket:
        try:
            found = _socket.getaddrinfo(self.host, self.port, 0, _socket.SOCK_STREAM)
        except _socket.gaierror as error:
            raise ResourceError(f"host {self.host} cannot be resolved: {error.strerror}") from None
        family, kind, protocol, _, address = found[0]
        self.host = str(address[0])
        listener = _socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            # Inherited by accepted connections, so it costs nothing per connection.
            listener.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise ResourceError(_listen_error(error, self.address)) from None
        return listener

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock = accept(self._socket)
            except OSError as error:
                self._cannot_accept(error)
                return
            if sock is None:
                return
            self._welcome(sock)

    def _welcome(self, sock: _socket.socket | Relayed) -> None:
        counts = self.domain.counts
        if self._socket is None:
            sock.close()  # too late
            return
        counts.connections_accepted += 1
        if len(self._transports) >= self.capacity:
            counts.connections_refused += 1
            text = f"all {self.capacity} connections are in use"
            error = stream_error("resource-constraint", text)
            try:
                sock.send(stream_header(self.domain.addresses("refused")) + error + STREAM_END)
            except OSError:
                log.debug("a refused client was gone before the error could be sent")
            sock.close()
            return
        transport = Transport(self, sock)
        transport.session = FirstBytes(self.domain, transport)
        if isinstance(sock, Relayed):
            sock.slow = transport.end_choked
        self._transports.add(transport)
        self._empty.clear()
        counts.connections_peak = max(counts.connections_peak, len(self._transports))
        transport.start()

    def _cannot_accept(self, error: OSError) -> None:
        # The listener stays readable while a client waits, so retrying at once would spin.
        if error.errno not in _EXHAUSTED:
            return  # the client was gone before it was accepted
        if not self._exhausted:
            log.warning("xmppd sometimes cannot accept connections: %s", os.strerror(error.errno))
            self._exhausted = True
        self._accepting = False
        self._acceptor.stop()

    def flush(self) -> None:
        """Send what was queued during this turn of the loop."""
        # Flushing may close a transport, which writes to others. Each closes once, so this ends.
        while self.dirty or self.choked:
            choked, self.choked = self.choked, []
            for transport in choked:
                transport.end_choked()
            dirty, self.dirty = self.dirty, []
            for transport in dirty:
                transport.flush()
        if self._fronts is not None:
            self._fronts.flush()

    def tick(self) -> None:
        """Handle expired deadlines, and accept again if descriptors had run out."""
        now = now_ns()
        # All clocks first: connections ended below get their full time to linger.
        slow_logins, slow_stanzas = self.logging_in.tick(now), self.mid_stanza.tick(now)
        stalled, lingering = self.stalled.tick(now), self.lingering.tick(now)
        for transport in slow_logins:
            transport.session.fail("connection-timeout", "login took too long")
        for transport in slow_stanzas:
            transport.session.fail("connection-timeout", "a stanza was not completed in time")
        for transport in stalled:
            self.domain.counts.slow_readers += 1
            transport.session.fail("connection-timeout", "the client stopped reading")
        for transport in lingering:
            transport.close()
        self.domain.tick(now)
        if self._socket is not None and not self._accepting:
            self._accepting = True
            self._acceptor.start(self._accept)


def connection_limit(wanted: int) -> int:
    """Raise the soft limit to the hard limit; return how many connections then fit.

    Args:
        wanted: How many connections must be possible at once.

    Raises:
        ResourceError: They do not fit; the message says how to raise the limit.
    """
    limit = process.raise_fd_limit()
    if limit - RESERVE < wanted:
        raise ResourceError(
            f"{wanted} connections need {wanted + RESERVE} file descriptors, but the limit is"
            f" {limit}; raise it with 'ulimit -Hn {wanted + RESERVE}' (or LimitNOFILE= in systemd,"
            " nofile in /etc/security/limits.conf)"
        )
    return limit - RESERVE


def _listen_error(error: OSError, address: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port of {address} is in use by another process; choose another one, or 0 for any"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"address {address} does not belong to this host"
    if error.errno == errno.EACCES:
        return f"port of {address} needs privileges that this process lacks; choose one above 1023"
    return f"cannot listen on {address}: {error.strerror}"
