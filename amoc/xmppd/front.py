"""A front process: accepts and holds connections, without any knowledge of XMPP.

Data from clients goes to the process that has the sessions, and data from that process to the
clients; see `relay`. All front processes accept from the same listening socket; a full one leaves
new connections to the others. A front process ends when the other process is gone.
"""

from __future__ import annotations

import _socket
import os
import signal
from typing import TYPE_CHECKING, Final

import gevent

from amoc.base import process
from amoc.base.clock import now_ns
from amoc.xmppd.deadlines import Deadlines
from amoc.xmppd.limits import Limits
from amoc.xmppd.relay import CONGESTED, READ, WRITE, Frame, Link, accept

if TYPE_CHECKING:
    from gevent._types import _IoWatcher, _Loop

_CHUNK_BYTES: Final = 16_384
_ACCEPTS_PER_TURN: Final = 64
_TICK_S: Final = 0.25


class _Connection:
    """One client's connection."""

    __slots__ = ("_front", "_out", "_reader", "_shut", "_slow", "_sock", "_writer", "number")

    def __init__(self, front: Front, number: int, sock: _socket.socket) -> None:
        self._front = front
        self.number = number
        self._sock = sock
        self._out = bytearray()
        self._shut = False
        self._slow = False
        self._writer: _IoWatcher | None = None
        self._reader = front.loop.io(sock.fileno(), READ)
        self._reader.start(self._readable)

    def take(self, data: bytes) -> None:
        """Send bytes to the client."""
        if not self._out:
            self._front.dirty.append(self)
        self._out += data
        if len(self._out) > self._front.limits.queue_bytes:
            self.report_slow()

    def report_slow(self) -> None:
        """Report that the client does not read; data sent to it after that ignores the limit."""
        if not self._slow:
            self._slow = True
            self._front.link.put(Frame.SLOW, self.number)

    def shut(self) -> None:
        """Close our side when everything has been sent."""
        self._shut = True
        if not self._out:
            self._shutdown()

    def flush(self) -> None:
        """Send queued data; the rest follows when the client has read some."""
        if not self._out:
            return
        try:
            sent = self._sock.send(self._out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        if not self._out:
            self._drop_writer()
            if self._shut:
                self._shutdown()
            return
        if self._writer is None:
            self._writer = self._front.loop.io(self._sock.fileno(), WRITE)
            self._writer.start(self.flush)
            self._front.stalled.restart(self)
        elif sent:
            self._front.stalled.restart(self)

    def read_on(self) -> None:
        """Resume reading, after the other process has caught up."""
        if self.number in self._front.connections:
            self._reader.start(self._readable)

    def close(self) -> None:
        """Close the connection, and report it."""
        if self._front.connections.pop(self.number, None) is None:
            return
        self._drop_writer()
        self._reader.close()
        self._sock.close()
        self._out.clear()
        self._front.link.put(Frame.LOST, self.number)

    def _readable(self) -> None:
        front = self._front
        if front.link.waiting > CONGESTED:
            self._reader.stop()
            front.paused.append(self)
            return
        try:
            chunk = self._sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if chunk:
            front.link.put(Frame.DATA, self.number, chunk)
        else:
            self._reader.stop()
            front.link.put(Frame.EOF, self.number)

    def _shutdown(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            self.close()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._front.stalled.discard(self)


class Front:
    """All connections of one front process.

    Attributes:
        loop: The event loop.
        limits: Limits for queued data, and for how long it may wait.
        link: The link to the process that has the sessions.
        connections: Connections by number.
        dirty: Connections with queued data.
        paused: Connections that are not read until `link` has caught up.
        stalled: Connections that do not read, with their deadlines.
    """

    def __init__(
        self, loop: _Loop, listener: _socket.socket, link: _socket.socket, capacity: int,
        limits: Limits,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.limits = limits
        self.connections: dict[int, _Connection] = {}
        self.dirty: list[_Connection] = []
        self.paused: list[_Connection] = []
        self.stalled: Deadlines[_Connection] = Deadlines(limits.stall_s)
        self.link = Link(loop, link, self._on_frame, self._end)
        self._listener = listener
        self._capacity = capacity
        self._number = 0
        self._accepting = False
        self._acceptor = loop.io(listener.fileno(), READ)
        self._flusher = loop.prepare()
        self._flusher.start(self._flush)
        self._ticker = loop.timer(_TICK_S, _TICK_S)
        self._ticker.start(self._tick)
        self._tick()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if len(self.connections) >= self._capacity:
                break
            try:
                sock = accept(self._listener)
            except OSError:
                break  # out of descriptors, or the client is gone: retry at the next tick
            if sock is None:
                return
            self._number += 1
            self.link.put(Frame.OPEN, self._number)
            self.connections[self._number] = _Connection(self, self._number, sock)
        else:
            return
        self._acceptor.stop()
        self._accepting = False

    def _on_frame(self, kind: int, number: int, data: bytes) -> None:
        connection = self.connections.get(number)
        if connection is None:
            return
        if kind == Frame.DATA:
            connection.take(data)
        elif kind == Frame.SHUT:
            connection.shut()
        else:
            connection.flush()
            connection.close()

    def _end(self) -> None:
        os._exit(0)  # without the sessions, connections are useless

    def _flush(self) -> None:
        dirty, self.dirty = self.dirty, []
        for connection in dirty:
            connection.flush()
        self.link.flush()
        if self.paused and self.link.waiting <= CONGESTED:
            paused, self.paused = self.paused, []
            for connection in paused:
                connection.read_on()

    def _tick(self) -> None:
        for connection in self.stalled.tick(now_ns()):
            connection.report_slow()
        if not self._accepting and len(self.connections) < self._capacity:
            self._accepting = True
            self._acceptor.start(self._accept)


def fork(
    count: int, listener: _socket.socket, capacity: int, limits: Limits
) -> list[_socket.socket]:
    """Fork front processes, before there is an event loop; return the sockets to them.

    Args:
        count: Number of processes.
        listener: The listening socket; non-blocking.
        capacity: Maximum number of connections of each.
        limits: Limits for queued data.
    """
    sockets: list[_socket.socket] = []
    for _ in range(count):
        here, there = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        parent = os.getpid()
        if os.fork() == 0:
            try:
                for other in (here, *sockets):
                    other.close()
                _run(parent, listener, there, capacity, limits)
            finally:
                os._exit(1)
        there.close()
        sockets.append(here)
    return sockets


def _run(
    parent: int, listener: _socket.socket, link: _socket.socket, capacity: int, limits: Limits
) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # it ends with the other process
    process.set_title("xmppd-front")
    front = Front(gevent.get_hub().loop, listener, link, capacity, limits)
    if os.getppid() == parent:
        gevent.get_hub().join()
    front.link.close()
