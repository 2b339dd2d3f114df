"""Graphite: points as lines of carbon's plaintext protocol, over TCP.

A line is ``path value time``. Carbon never responds, so when a connection breaks it is unknown what
was read: what may have been in flight is sent again over the next one, and carbon overwrites it
with the same values. Before each point the connection is checked, because the first write to one
that carbon has closed would succeed.
"""

from __future__ import annotations

import gevent
from gevent import socket as gsocket

from amoc.base.clock import S_NS, now_ns
from amoc.results.exporters.background import BackgroundQueue, in_turns
from amoc.results.exporters.backlog import ChunkBacklog, PointBacklog
from amoc.results.exporters.base import Exporter, Warn, place
from amoc.results.exporters.names import Entry, Naming, number
from amoc.results.series import Point, Tally

MAX_BYTES = 8 << 20
"""Maximum backlog; a minute of a thousand metrics, hours of a few."""
REPEATED_BYTES = 512 << 10
"""What is sent again when a connection breaks: usually more than both kernels hold."""
CONNECT_S = 5.0
SEND_S = 5.0
"""How long carbon may take to accept a point."""
SEND_BUFFER = 128 << 10
"""Bytes that the kernel may hold for a carbon that does not read; they are lost with it."""


class Connection:
    """A TCP connection, established when needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: gsocket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            OSError: It may not have been sent; the connection is closed.
        """
        try:
            if self._socket is None:
                self._socket = self._connected()
            else:
                _look(self._socket)
            self._socket.sendall(data)
        except BaseException:
            self.close()
            raise

    def finish(self, deadline_s: float) -> bool:
        """Signal the end, and wait until the other end has read everything and closes.

        Returns:
            Whether it has, or there was no connection.
        """
        if self._socket is None:
            return True
        try:
            with gevent.Timeout(deadline_s, TimeoutError()):
                self._socket.shutdown(gsocket.SHUT_WR)
                while self._socket.recv(4096):
                    pass
        except OSError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Close it at once."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> gsocket.socket:
        with gevent.Timeout(CONNECT_S, TimeoutError(f"no connection within {CONNECT_S:g} s")):
            made = gsocket.create_connection((self._host, self._port))
        made.setsockopt(gsocket.SOL_SOCKET, gsocket.SO_SNDBUF, SEND_BUFFER)
        made.settimeout(SEND_S)
        return made


def _look(line: gsocket.socket) -> None:
    """Raise if the other end has closed; data that it sends is ignored."""
    line.settimeout(0)
    try:
        while line.recv(4096):
            pass
    except BlockingIOError:
        line.settimeout(SEND_S)
    else:
        raise ConnectionResetError("the connection was closed")


class Graphite(Exporter):
    """Sends each point to carbon; annotations are sent to graphite-web instead.

    Attributes:
        chunks: Chunks waiting for carbon, and those sent last.
    """

    def __init__(self, host: str, port: int, prefix: str, warn: Warn) -> None:
        """Start; carbon need not be reachable yet.

        Args:
            host: carbon's host.
            port: carbon's port for lines.
            prefix: The beginning of each path; may be empty.
            warn: Called with warnings for the operator.
        """
        self._what = what = f"graphite at {place(host, port)}"
        self._warn = warn
        self._prefix = f"{prefix}." if prefix else ""
        self._naming = Naming()
        self._second = 0
        self._connection = Connection(host, port)
        self.chunks = ChunkBacklog(MAX_BYTES, REPEATED_BYTES)
        self._sending = BackgroundQueue(what, self.chunks, self._connection.send, warn)
        self._writing = BackgroundQueue(what, PointBacklog(), self._write, warn)

    def take(self, point: Point, _tally: Tally, /) -> None:
        """Queue the point."""
        self._writing.put(point)

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        give_up = now_ns() + int(deadline_s * S_NS)
        self._writing.stop(deadline_s)
        self.chunks.drop(sum(self._writing.backlog.missing()))
        well = self._sending.close(max(0.0, (give_up - now_ns()) / S_NS))
        if not self._connection.finish(max(0.0, (give_up - now_ns()) / S_NS)) and well:
            self._warn(f"{self._what}: the last points may not have been delivered")

    def _write(self, point: Point) -> None:
        # Carbon stores one value a second, so two points ending in the same one must differ.
        self._second = max(int(point.at), self._second + 1)
        lines = (
            line
            for entry in self._naming.entries(point)
            for line in written(self._prefix, entry, self._second, point.span_s)
        )
        self._sending.put("".join(in_turns(lines)).encode())


def written(prefix: str, entry: Entry, second: int, span_s: float) -> list[str]:
    """Return the lines for an entry: one for a gauge, a rate and a total for a counter."""
    if entry.total is None:
        return [f"{prefix}{entry.path} {number(entry.value)} {second}\n"]
    rate = entry.value / span_s if span_s > 0 else 0.0
    return [
        f"{prefix}{entry.path}.rate {number(rate)} {second}\n",
        f"{prefix}{entry.path}.total {number(entry.total)} {second}\n",
    ]
