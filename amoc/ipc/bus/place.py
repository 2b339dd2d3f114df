"""Where a parent is to be found: in a directory of its host, or at two ports for other hosts.

In a directory that only we may enter there is nothing to prove. From host to host all is CURVE:
the child knows the parent's key before it connects, and the parent the child's.
"""

from __future__ import annotations

from dataclasses import dataclass

import zmq

from amoc.base.clock import MS_NS
from amoc.ipc.bus import refusals
from amoc.ipc.bus.gate import Gate
from amoc.ipc.bus.keys import Keys

HEARTBEAT_MS = 1_000
SILENT_MS = 10_000
"""A connection over which nothing comes for so long is given up and made anew. Longer than a node
lives without its controller: what TCP still holds of a short cut arrives."""
RECONNECT_MS, MAX_RECONNECT_MS = 100, 1_000
CONNECT_MS = 2_000
"""How long an attempt to connect may take; the kernel alone would wait ever longer."""
MAX_MESSAGE_BYTES = 64 << 20


@dataclass(frozen=True)
class Remote:
    """A parent, as a child on another host sees it.

    Attributes:
        commands: Where it publishes: ``tcp://10.0.0.1:4101``.
        reports: Where it collects.
        parent_key: Its public key.
        keys: The child's own.
    """

    commands: str
    reports: str
    parent_key: bytes
    keys: Keys

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Make `socket` one that speaks to this parent only."""
        tune(socket)
        socket.curve_serverkey = self.parent_key
        socket.curve_publickey, socket.curve_secretkey = self.keys.public, self.keys.secret


@dataclass(frozen=True)
class Listen:
    """Where a parent is to listen for children on other hosts.

    Attributes:
        gate: Knows who may come.
        keys: The parent's.
        address: The address of an interface, or ``*`` for all; IPv6 in brackets.
        ports: That of commands and that of reports; 0 is any that is free.
        domain: Whose keys it opens to.
    """

    gate: Gate
    keys: Keys
    address: str = "127.0.0.1"
    ports: tuple[int, int] = (0, 0)
    domain: str = "nodes"


def endpoints(place: str | Remote | Listen) -> tuple[str, str]:
    """Where a parent publishes and where it collects; `place` is a directory on this host."""
    match place:
        case Remote():
            return place.commands, place.reports
        case Listen():
            commands, reports = (f"tcp://{place.address}:{port or '*'}" for port in place.ports)
            return commands, reports
    return f"ipc://{place}/commands", f"ipc://{place}/reports"


def tune(socket: zmq.Socket[bytes]) -> None:
    """Set what a socket between hosts needs: a dead line is noticed, and made anew."""
    socket.ipv6 = True
    socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT_MS, SILENT_MS
    socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, MAX_RECONNECT_MS
    socket.connect_timeout = CONNECT_MS
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, refusals.HANDSHAKE_NS // MS_NS)
