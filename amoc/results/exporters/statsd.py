"""statsd: counts as counters, everything else as gauges, in packed datagrams each second.

statsd's own client formats the lines; this module gives it a socket that does not block and whose
errors are noticed. UDP gives little feedback: a datagram without a receiver is usually lost
silently. On the same host, and on some others, the next one fails with ``Connection refused``; that
is reported once.

A timer's percentiles are gauges, because statsd cannot merge percentiles; amoc has merged them.
"""

from __future__ import annotations

import gevent
from gevent import socket as gsocket
from statsd import StatsClient

from amoc.results.exporters.background import BackgroundQueue, in_turns
from amoc.results.exporters.backlog import PointBacklog
from amoc.results.exporters.base import Exporter, Warn, place
from amoc.results.exporters.names import Naming, number
from amoc.results.series import Point, Tally

MAX_DATAGRAM = 1432
"""Bytes that fit into an Ethernet frame with any headers."""
BURST = 8
"""Datagrams sent without a pause: a busy receiver buffers some hundred kilobytes."""
PAUSE_S = 0.002
SEND_S = 1.0


class Statsd(Exporter):
    """Sends each point to statsd, which has no annotations."""

    def __init__(self, host: str, port: int, prefix: str, warn: Warn) -> None:
        """Start; statsd need not be reachable yet.

        Args:
            host: statsd's host.
            port: statsd's UDP port.
            prefix: The beginning of each name; may be empty.
            warn: Called with warnings for the operator.
        """
        self._host = host
        self._port = port
        self._prefix = prefix
        self._client: _Client | None = None
        self._naming = Naming()
        what = f"statsd at {place(host, port)}"
        self._queue = BackgroundQueue(what, PointBacklog(), self._send, warn)

    def take(self, point: Point, _tally: Tally, /) -> None:
        """Queue the point."""
        self._queue.put(point)

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        self._queue.close(deadline_s)
        if self._client is not None:
            self._client.close()

    def _send(self, point: Point) -> None:
        """Send a point.

        Raises:
            OSError: Not all of it could be sent.
        """
        if self._client is None:
            self._client = _connected(self._host, self._port, self._prefix)
        with self._client.pipeline() as pipe:
            for entry in in_turns(self._naming.entries(point)):
                if entry.total is None:
                    pipe.gauge(entry.path, Value(entry.value))
                elif entry.value:
                    pipe.incr(entry.path, int(entry.value))
        self._client.check()


class Value(float):
    """A number that is formatted without meaningless digits."""

    def __str__(self) -> str:
        return number(int(self) if self.is_integer() else float(self))


class _Client(StatsClient):  # type: ignore[misc]  # it has no types
    """statsd's client, on a connected gevent socket."""

    def __init__(self, address: tuple[object, ...], family: int, prefix: str) -> None:
        super().__init__(
            *address[:2], prefix or None, MAX_DATAGRAM, ipv6=family == gsocket.AF_INET6
        )
        self._sock.close()  # it would block
        self._sock: gsocket.socket = gsocket.socket(family, gsocket.SOCK_DGRAM)
        self._sock.settimeout(SEND_S)
        self._sock.connect(address)
        self._datagrams = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that occurred since the last call, if any."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _send(self, data: str) -> None:
        self._datagrams += 1
        if self._datagrams % BURST == 0:
            gevent.sleep(PAUSE_S)
        try:
            self._send_now(data.encode())
        except OSError as error:
            self._error = error

    def _send_now(self, data: bytes) -> None:
        try:
            self._sock.send(data)
        except ConnectionRefusedError as error:
            # The error belongs to an earlier datagram; this one has not been sent.
            self._error = error
            self._sock.send(data)


def _connected(host: str, port: int, prefix: str) -> _Client:
    """Return a client for the first address of `host`; the look-up does not block the event loop.

    Raises:
        OSError: It has none.
    """
    found = gsocket.getaddrinfo(host, port, 0, gsocket.SOCK_DGRAM)
    family, _, _, _, address = found[0]
    return _Client(address, family, prefix)
