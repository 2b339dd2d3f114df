"""Connections held by other processes: frames over one socket, instead of a socket for each.

The number of file descriptors per process is limited. For more connections than that, front
processes (`front`) accept and hold them, and pass their bytes to the one process with all sessions,
rooms and archives. For that process's transports, a `Relayed` connection replaces a socket.

A frame consists of its kind, the number of the connection as assigned by its front process, the
length of its content, and the content.
"""

from __future__ import annotations

import logging
import struct
from _socket import IPPROTO_TCP, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812 - the plain class, even if patched
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from amoc.base.text import counted

if TYPE_CHECKING:
    from gevent._types import _IoWatcher, _Loop

log = logging.getLogger("amoc.xmppd")

HEADER: Final = struct.Struct("!BII")
CHUNK_BYTES: Final = 262_144
CONGESTED: Final = 4_194_304
"""While more bytes than that wait for the other process, nothing is read that would add to it."""
MAX_WAITING: Final = 268_435_456
"""Bytes that may wait for the other process; beyond that it is considered dead."""
READ: Final = 1
WRITE: Final = 2


def accept(listener: Socket) -> Socket | None:
    """Accept a connection; None if no client waits.

    Raises:
        OSError: There are no descriptors left, or the client is gone.
    """
    try:
        fd, _ = listener._accept()  # type: ignore[attr-defined]
    except (BlockingIOError, InterruptedError):
        return None
    sock = Socket(listener.family, SOCK_STREAM, IPPROTO_TCP, fd)
    sock.setblocking(False)
    return sock


class Frame(IntEnum):
    """Kinds of frames. All but DATA and CLOSE go in one direction only."""

    DATA = 0
    """Bytes from the client, or for it."""
    OPEN = 1
    """Up: the connection was accepted."""
    EOF = 2
    """Up: the client has closed its side."""
    LOST = 3
    """Up: the connection is gone."""
    SLOW = 4
    """Up: the client does not read what was sent to it."""
    SHUT = 5
    """Down: nothing more will be sent; close our side once everything has been sent."""
    CLOSE = 6
    """Down: close the connection at once."""


class Link:
    """One end of the socket between two processes: sends and receives frames.

    Attributes:
        waiting: Number of bytes that wait to be sent.
    """

    def __init__(
        self, loop: _Loop, sock: Socket, on_frame: Callable[[int, int, bytes], object],
        on_end: Callable[[], object],
    ) -> None:  # fmt: skip
        """Start reading.

        Args:
            loop: The event loop.
            sock: A connected stream socket.
            on_frame: Called with each frame: kind, number, and content.
            on_end: Called once, when the other process is gone.
        """
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._in = bytearray()
        self._out = bytearray()
        self._ended = False
        self._writer: _IoWatcher = loop.io(sock.fileno(), WRITE)
        self._writing = False
        self._reader: _IoWatcher = loop.io(sock.fileno(), READ)
        self._reader.start(self._readable)

    @property
    def waiting(self) -> int:
        """Number of bytes that wait to be sent."""
        return len(self._out)

    def put(self, kind: int, number: int, data: bytes | bytearray = b"") -> None:
        """Queue a frame, to be sent by `flush`."""
        if not self._ended:
            self._out += HEADER.pack(kind, number, len(data))
            self._out += data

    def flush(self) -> None:
        """Send queued frames; the rest follows when the other process has read some."""
        while self._out and not self._ended:
            try:
                sent = self._sock.send(self._out)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
            del self._out[:sent]
        if len(self._out) > MAX_WAITING:
            self.close()
        elif bool(self._out) != self._writing and not self._ended:
            self._writing = not self._writing
            if self._writing:
                self._writer.start(self.flush)
            else:
                self._writer.stop()

    def read(self, on: bool) -> None:
        """Start or stop reading."""
        if self._ended:
            return
        if on:
            self._reader.start(self._readable)
        else:
            self._reader.stop()

    def close(self) -> None:
        """Close the link; unsent frames are lost."""
        if self._ended:
            return
        self._ended = True
        self._out.clear()
        for watcher in (self._reader, self._writer):
            watcher.close()
        self._sock.close()
        self._on_end()

    def _readable(self) -> None:
        try:
            chunk = self._sock.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self._in += chunk
        for kind, number, data in self._frames():
            self._on_frame(kind, number, data)

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        at = 0
        data = bytes(self._in)
        while len(data) - at >= HEADER.size:
            kind, number, length = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if end > len(data):
                break
            yield kind, number, data[at + HEADER.size : end]
            at = end
        del self._in[:at]


class Relayed:
    """A connection held by a front process, in place of a socket and its watcher."""

    __slots__ = ("_chunk", "_link", "_lost", "_number", "_readable", "slow")

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number
        self._chunk: bytes | None = None
        self._lost = False
        self._readable: Callable[[], object] | None = None
        self.slow: Callable[[], object] | None = None

    def on_frame(self, kind: int, data: bytes) -> None:
        """Process a frame from the front process about this connection."""
        if kind == Frame.SLOW:
            if self.slow is not None:
                self.slow()
            return
        self._lost = kind == Frame.LOST
        self._chunk = data
        if self._readable is not None:
            self._readable()

    # Interface of a watcher

    def start(self, readable: Callable[[], object]) -> None:
        """Call `readable` whenever there is something to read."""
        self._readable = readable

    def stop(self) -> None:
        """Stop calling it."""
        self._readable = None

    # Interface of a socket

    def recv(self, _most: int) -> bytes:
        """Return received bytes."""
        if self._lost:
            raise ConnectionResetError
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            raise BlockingIOError
        return chunk

    def send(self, data: bytes | bytearray) -> int:
        """Pass on all the bytes."""
        self._link.put(Frame.DATA, self._number, data)
        return len(data)

    def shutdown(self, _how: int) -> None:
        """Announce that nothing more will be sent."""
        self._link.put(Frame.SHUT, self._number)

    def close(self) -> None:
        """Close it; harmless the second time, as it acts as both a socket and a watcher."""
        if self._readable is not None or self.slow is not None:
            self._readable = self.slow = None
        if not self._lost:
            self._lost = True
            self._link.put(Frame.CLOSE, self._number)


class Fronts:
    """All front processes, from the viewpoint of the process with the sessions.

    Attributes:
        links: Links to those that are alive.
    """

    def __init__(
        self, loop: _Loop, sockets: list[Socket], welcome: Callable[[Relayed], object]
    ) -> None:
        """Start listening to them.

        Args:
            loop: The event loop.
            sockets: One for each process.
            welcome: Called with each new connection; sets its `Relayed.slow`.
        """
        self._welcome = welcome
        self._reading = True
        self.links: list[Link] = []
        for sock in sockets:
            self._add(loop, sock)

    def _add(self, loop: _Loop, sock: Socket) -> None:
        connections: dict[int, Relayed] = {}

        def on_frame(kind: int, number: int, data: bytes) -> None:
            if kind == Frame.OPEN:
                connections[number] = opened = Relayed(link, number)
                self._welcome(opened)
            elif (known := connections.get(number)) is not None:
                if kind == Frame.LOST:  # always a connection's last frame
                    del connections[number]
                known.on_frame(kind, data)

        def ended() -> None:
            self.links.remove(link)
            if connections:
                lost = counted(len(connections), "client")
                log.error("a front process of xmppd died, disconnecting %s", lost)
            for known in list(connections.values()):
                known.on_frame(Frame.LOST, b"")
            connections.clear()

        link = Link(loop, sock, on_frame, ended)
        self.links.append(link)

    def flush(self) -> None:
        """Send queued frames; while there are many, stop reading from all of them."""
        for link in list(self.links):
            link.flush()
        reading = all(link.waiting <= CONGESTED for link in self.links)
        if reading != self._reading:
            self._reading = reading
            for link in self.links:
                link.read(reading)

    def close(self) -> None:
        """Close all links, which ends the processes."""
        for link in list(self.links):
            link.close()
