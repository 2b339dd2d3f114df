"""Where a parent is to be found: in a directory of its host, or at two ports for other hosts.

In a directory that only we may enter there is nothing to prove. From host to host all is CURVE:
the child knows the parent's key before it connects, and the parent the child's.
"""

from __future__ import annotations

from typing import NamedTuple

import zmq

from amoc.ipc.bus.gate import Gate
from amoc.ipc.bus.keys import Keys
from amoc.ipc.bus.tuning import tune


class Remote(NamedTuple):
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
        secure(socket, self.parent_key, self.keys)


class Listen(NamedTuple):
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

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Have the gate stand before `socket`, which is not bound yet."""
        self.gate.guard(socket, self.domain, self.keys)


def endpoints(place: str | Remote | Listen) -> tuple[str, str]:
    """Where a parent publishes and where it collects; `place` is a directory on this host."""
    match place:
        case Remote():
            return place.commands, place.reports
        case Listen():
            commands, reports = (f"tcp://{place.address}:{port or '*'}" for port in place.ports)
            return commands, reports
    return f"ipc://{place}/commands", f"ipc://{place}/reports"


def secure(socket: zmq.Socket[bytes], their_key: bytes, keys: Keys) -> None:
    """Make `socket` one that connects, by `keys`, to whoever has the key that goes with theirs."""
    tune(socket)
    socket.curve_serverkey = their_key
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def port_of(endpoint: str) -> int:
    """The port of an endpoint of TCP."""
    return int(endpoint.rpartition(":")[2])
