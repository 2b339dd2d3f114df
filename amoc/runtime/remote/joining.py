"""The host's side of joining: it offers itself, and learns where to connect or why not."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import NamedTuple

import zmq

from amoc import __version__
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import PeerError
from amoc.ipc.bus import Keys, Remote, new_keys, shared_keys
from amoc.ipc.bus.end import SocketReader, send_nowait
from amoc.ipc.bus.place import secure
from amoc.ipc.messages.keeper import FROM_HOST, TO_HOST, Join, Joined, Rejected
from amoc.runtime.remote.address import Address
from amoc.runtime.remote.rendezvous import CONTROLLER, HOST

AGAIN_S = 0.5
ABANDONED = "standard input was closed, so this node is no longer wanted"


class Place(NamedTuple):
    """The answer to a keeper's offer."""

    number: int
    """The keeper's number."""
    remote: Remote
    """The controller's address, for the keeper itself."""
    node_keys: Keys
    """The keys of the node that it will start."""
    clock: str
    """Identifies the controller's clock."""


def join(
    context: zmq.Context[zmq.Socket[bytes]],
    address: Address,
    secret: bytes,
    deadline_s: float,
    name: str,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Place:
    """Offer this host, as `name`, to the controller at `address`, while it `is_wanted`.

    Raises:
        PeerError: The host is refused, or there is no answer within `deadline_s`.
    """
    keeper, node = new_keys(), new_keys()
    names = __version__, platform.python_version(), name
    offer = FROM_HOST.pack(Join(*names, os.getpid(), keeper.public, node.public))
    mine, theirs = shared_keys(secret, HOST), shared_keys(secret, CONTROLLER)
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    reader = SocketReader(socket)
    try:
        secure(socket, theirs.public, mine)
        socket.immediate = True
        socket.connect(str(address))
        answer = _answer(socket, reader, offer, deadline_s, is_wanted)
    except zmq.ZMQError as error:
        raise PeerError(f"cannot connect to {address}: {error}") from None
    finally:
        reader.close()
        socket.close()
    if answer is None:
        raise PeerError(
            f"{address} did not answer within {format_duration(deadline_s)}: check that a run is"
            " waiting for nodes there (amoc run --cluster join), that no firewall is in between,"
            " and that both have the same secret"
        )
    if isinstance(answer, Rejected):
        raise PeerError(f"{address} has turned this host away: {answer.why}")
    commands, reports = (f"tcp://{address.host}:{port}" for port in answer.ports)
    remote = Remote(commands, reports, answer.parent_key, keeper)
    return Place(answer.number, remote, node, answer.clock)


def _answer(
    socket: zmq.Socket[bytes],
    reader: SocketReader,
    offer: bytes,
    deadline_s: float,
    is_wanted: Callable[[], bool],
) -> Joined | Rejected | None:
    """Return the controller's answer to an offer; None if there is none.

    Raises:
        PeerError: This host is no longer wanted.
    """
    give_up = now_ns() + int(deadline_s * S_NS)
    next_ns = 0
    while (now := now_ns()) < give_up:
        if now >= next_ns:
            if not is_wanted():
                raise PeerError(ABANDONED)
            send_nowait(socket, offer)  # retried if there is no connection yet
            next_ns = now + int(AGAIN_S * S_NS)
        reader.wait((min(next_ns, give_up) - now) / S_NS)
        try:
            return TO_HOST.unpack(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            continue
    return None
