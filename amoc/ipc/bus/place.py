"""Addresses of a parent: a directory on its host, or two ports for other hosts.

A directory accessible only to this user needs no authentication. Between hosts everything uses
CURVE: child and parent know each other's keys before the child connects.
"""

from __future__ import annotations

from typing import NamedTuple

import zmq

from amoc.ipc.bus.gate import Gate
from amoc.ipc.bus.keys import Keys
from amoc.ipc.bus.tuning import tune


class Remote(NamedTuple):
    """The address of a parent on another host.

    Attributes:
        commands: Its endpoint for commands: ``tcp://10.0.0.1:4101``.
        reports: Its endpoint for reports.
        parent_key: Its public key.
        keys: The child's keys.
    """

    commands: str
    reports: str
    parent_key: bytes
    keys: Keys


class Listen(NamedTuple):
    """Where a parent listens for children on other hosts.

    Attributes:
        gate: Decides who may connect.
        keys: The parent's keys.
        address: The address of an interface, or ``*`` for all; IPv6 in brackets.
        ports: The ports for commands and for reports; 0 means any free port.
        domain: The domain of the keys to admit.
    """

    gate: Gate
    keys: Keys
    address: str = "127.0.0.1"
    ports: tuple[int, int] = (0, 0)
    domain: str = "nodes"


def endpoints(place: str | Remote | Listen) -> tuple[str, str]:
    """Return a parent's endpoints for commands and reports; a text is a directory on this host."""
    match place:
        case Remote():
            return place.commands, place.reports
        case Listen():
            commands, reports = (f"tcp://{place.address}:{port or '*'}" for port in place.ports)
            return commands, reports
    return f"ipc://{place}/commands", f"ipc://{place}/reports"


def secure(socket: zmq.Socket[bytes], their_key: bytes, keys: Keys) -> None:
    """Make `socket` use `keys`, and accept only a server with the secret key for `their_key`."""
    tune(socket)
    socket.curve_serverkey = their_key
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def port_of(endpoint: str) -> int:
    """Return the port of a TCP endpoint."""
    return int(endpoint.rpartition(":")[2])
