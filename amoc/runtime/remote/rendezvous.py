"""Where hosts join a run: whoever knows its secret is told where to go on, with keys of its own.

The keys of this socket follow from the secret, and lead nowhere else: a host makes keys for its
keeper and its node, and only the public ones travel.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import gevent
import zmq

from amoc import __version__
from amoc.base.errors import PeerError, ResourceError
from amoc.ipc.bus import Gate, shared_keys
from amoc.ipc.bus.end import SocketReader
from amoc.ipc.bus.place import tune
from amoc.ipc.messages.keeper import FROM_HOST, TO_HOST, Join, Joined, Turned
from amoc.runtime.remote.address import Address

DOMAIN = "join"
CONTROLLER, HOST = "controller", "host"
"""What the two pairs of keys are for that follow from a secret."""


def mismatch(join: Join, version: str, python: str) -> str:
    """Why a host cannot be a node of this controller's; empty if it can."""
    if join.version != version:
        return f"it has amoc {join.version}, and the controller {version}"
    theirs, ours = (text.rpartition(".")[0] for text in (join.python, python))
    if theirs != ours:
        return f"it has Python {join.python}, and the controller {python}"
    return ""


class Rendezvous:
    """Takes hosts as they come.

    Attributes:
        port: Where they come to.
        turned: Why hosts were turned away, by host.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        gate: Gate,
        secret: bytes,
        bind: Address,
        take: Callable[[Join], Joined | Turned],
    ) -> None:
        """Listen at `bind`; `take` says what becomes of a host, to the same one the same.

        Raises:
            ResourceError: The address cannot be bound.
        """
        self.turned: dict[str, str] = {}
        self._take = take
        self._gate = gate
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        tune(self._socket)
        gate.guard(self._socket, DOMAIN, shared_keys(secret, CONTROLLER))
        gate.allow(DOMAIN, HOST, shared_keys(secret, HOST).public)
        endpoint = f"tcp://{bind.host or '*'}:{bind.port or '*'}"
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            gate.leave(self._socket)
            self._socket.close()
            raise ResourceError(f"{endpoint} cannot be bound: {error}") from None
        bound = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.port = int(bound.rpartition(":")[2])
        self._reader = SocketReader(self._socket)
        self._answering = gevent.spawn(self._answer)

    def close(self) -> None:
        """Take no more hosts."""
        self._answering.kill()
        self._reader.close()
        self._gate.leave(self._socket)
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self._reader.wait()
                continue
            if len(frames) != 2:
                continue  # it knows the secret, but is no host of ours
            sender, packed = frames
            try:
                join = FROM_HOST.unpack(packed)
                answer = self._judge(join)
            except (PeerError, ValueError, TypeError, AttributeError):
                answer = Turned("the controller does not understand it; is it the same amoc?")
            self._socket.send_multipart([sender, TO_HOST.pack(answer)])

    def _judge(self, join: Join) -> Joined | Turned:
        why = mismatch(join, __version__, platform.python_version())
        answer = Turned(why) if why else self._take(join)
        if isinstance(answer, Turned):
            self.turned[str(join.host)[:100]] = answer.why
        return answer
