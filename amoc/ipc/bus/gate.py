"""Access control for connections from other hosts, by a list of allowed keys.

ZeroMQ asks about each connection over ZAP (RFC 27), at an in-process address; without an answer the
connection is refused. Keys are listed by domain, so a key for one socket does not open another.
Handshake events from ZeroMQ are counted.
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
"""The beginning of a monitor's event message; a value and the address follow."""
_Monitor: TypeAlias = tuple[zmq.Socket[bytes], SocketReader, "gevent.Greenlet[..., None]"]


class Gate:
    """Admits connections with known keys; one gate for each ZeroMQ context.

    Attributes:
        refusals: Counts of what was refused.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Guard the sockets of `context`."""
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
        """Stop admitting connections; call it after the sockets are closed."""
        self._answering.kill()
        self._reader.close()
        self._asked.close()

    def refused(self) -> Refused:
        """Return what has been refused so far."""
        return self.refusals.seen(now_ns())

    def news(self) -> str:
        """Return a warning for the operator, if one is due; usually empty."""
        return self.refusals.news(now_ns())

    def allow(self, domain: str, name: str, public_key: bytes) -> None:
        """Admit the owner of a key to the sockets of `domain`, as `name`."""
        self._names[domain.encode(), public_key] = name

    def forbid(self, domain: str, name: str) -> None:
        """Refuse further connections of `name`; existing ones stay."""
        for key, known in list(self._names.items()):
            if key[0] == domain.encode() and known == name:
                del self._names[key]

    def guard(self, socket: zmq.Socket[bytes], domain: str, keys: Keys) -> None:
        """Guard `socket`, which has `keys` and is not bound yet."""
        tune(socket)
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
        socket.zap_domain = domain.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # refuse connections while there is no answer
        monitor = socket.get_monitor_socket(_EVENTS)
        reader = SocketReader(monitor)
        self._monitors[socket] = monitor, reader, gevent.spawn(self._count, reader)

    def leave(self, socket: zmq.Socket[bytes]) -> None:
        """Stop counting at `socket`, which is about to be closed."""
        if socket in self._monitors:
            monitor, reader, counting = self._monitors.pop(socket)
            counting.kill()
            reader.close()
            socket.disable_monitor()
            monitor.close()

    def _answer(self) -> None:
        for request in self._reader.multipart():
            self._asked.send_multipart(self._verdict(request))

    def _verdict(self, request: list[bytes]) -> list[bytes]:
        """Return the ZAP reply for a connection: its name, or a refusal."""
        version, number, domain, *_ = request
        name = None
        if len(request) == _REQUEST_FRAMES and request[5] == b"CURVE":
            name = self._names.get((domain, z85.encode(request[6])))
        if name is None:
            return [version, number, b"400", b"unknown key", b"", b""]
        return [version, number, b"200", b"OK", name.encode(), b""]

    def _count(self, reader: SocketReader) -> None:
        for frames in reader.multipart():
            # zmq.utils.monitor could parse this, but loads asyncio in each process.
            (event_id,) = _EVENT.unpack_from(frames[0])
            match zmq.Event(event_id):
                case zmq.EVENT_ACCEPTED:
                    self.refusals.accepted(now_ns())
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self.refusals.admitted()
                case event:
                    self.refusals.failed(event == zmq.EVENT_HANDSHAKE_FAILED_AUTH)
