"""Who may connect from other hosts: those whose key is on the list, and nobody else.

ZeroMQ asks about each connection over ZAP (RFC 27), at an address within the process; without an
answer, nobody gets in. The list is kept by domain, so that a key for one socket opens no other.
What ZeroMQ says of handshakes is counted.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import gevent
import zmq
from zmq.utils import z85

from amoc.base.clock import now_ns
from amoc.ipc.bus.end import SocketReader
from amoc.ipc.bus.keys import Keys
from amoc.ipc.bus.refusals import Refusals, Refused
from amoc.ipc.bus.tuning import tune

_ZAP = "inproc://zeromq.zap.01"
_REQUEST_FRAMES = 7
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED
_EVENT = struct.Struct("=H")
"""How what a monitor says of an event begins; a value follows, and the address."""
_Monitor: TypeAlias = tuple[zmq.Socket[bytes], SocketReader, "gevent.Greenlet[..., None]"]


class Gate:
    """Lets those in whose keys it knows; one for each context of ZeroMQ.

    Attributes:
        refusals: What was not let in.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Answer for all sockets of `context`."""
        self.refusals = Refusals()
        self._context = context
        self._names: dict[tuple[bytes, bytes], str] = {}
        self._monitors: dict[zmq.Socket[bytes], _Monitor] = {}
        self._asked = context.socket(zmq.REP)
        self._asked.linger = 0
        self._asked.bind(_ZAP)
        self._reader = SocketReader(self._asked)
        self._answering = gevent.spawn(self._answer)

    def close(self) -> None:
        """Let nobody in any more; to be called when the sockets are closed."""
        self._answering.kill()
        self._reader.close()
        self._asked.close()

    def refused(self) -> Refused:
        """What was not let in until now."""
        return self.refusals.seen(now_ns())

    def news(self) -> str:
        """What the operator is to be told of it now; mostly nothing."""
        return self.refusals.news(now_ns())

    def allow(self, domain: str, name: str, public_key: bytes) -> None:
        """Let the owner of a key in at the sockets of `domain`, as `name`."""
        self._names[domain.encode(), public_key] = name

    def forbid(self, domain: str, name: str) -> None:
        """Let `name` in no more; a connection that is there stays."""
        for key, known in list(self._names.items()):
            if key[0] == domain.encode() and known == name:
                del self._names[key]

    def guard(self, socket: zmq.Socket[bytes], domain: str, keys: Keys) -> None:
        """Stand before `socket`, which is not bound yet and is known by `keys`."""
        tune(socket)
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
        socket.zap_domain = domain.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody gets in while nobody answers
        monitor = socket.get_monitor_socket(_EVENTS)
        reader = SocketReader(monitor)
        self._monitors[socket] = monitor, reader, gevent.spawn(self._count, monitor, reader)

    def leave(self, socket: zmq.Socket[bytes]) -> None:
        """Count no more at `socket`, which is about to be closed."""
        if socket in self._monitors:
            monitor, reader, counting = self._monitors.pop(socket)
            counting.kill()
            reader.close()
            socket.disable_monitor()
            monitor.close()

    def _answer(self) -> None:
        while True:
            try:
                request = self._asked.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self._reader.wait()
            else:
                self._asked.send_multipart(self._verdict(request))

    def _verdict(self, request: list[bytes]) -> list[bytes]:
        """The answer about a connection: its name among us, or no."""
        version, number, domain, *_ = request
        name = None
        if len(request) == _REQUEST_FRAMES and request[5] == b"CURVE":
            name = self._names.get((domain, z85.encode(request[6])))
        if name is None:
            return [version, number, b"400", b"unknown key", b"", b""]
        return [version, number, b"200", b"OK", name.encode(), b""]

    def _count(self, monitor: zmq.Socket[bytes], reader: SocketReader) -> None:
        while True:
            try:
                frames = monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                reader.wait()
                continue
            # zmq.utils.monitor would do that, and load asyncio, which each process would pay for.
            (event_id,) = _EVENT.unpack_from(frames[0])
            match zmq.Event(event_id):
                case zmq.EVENT_ACCEPTED:
                    self.refusals.accepted(now_ns())
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self.refusals.admitted()
                case event:
                    self.refusals.failed(event == zmq.EVENT_HANDSHAKE_FAILED_AUTH)
