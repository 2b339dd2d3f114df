"""The controller's side of joining: hosts that know the run's secret learn where to connect.

The keys of this socket are derived from the secret, and give access to nothing else. A host creates
keys for its keeper and its node, and sends only the public ones.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import gevent
import zmq

from amoc import __version__
from amoc.base.errors import PeerError, ResourceError
from amoc.base.text import printable
from amoc.ipc.bus import Gate, shared_keys
from amoc.ipc.bus.end import SocketReader
from amoc.ipc.bus.place import port_of
from amoc.ipc.messages.keeper import FROM_HOST, TO_HOST, Join, Joined, Rejected
from amoc.runtime.remote.address import Address

DOMAIN = "join"
CONTROLLER, HOST = "controller", "host"
"""The two pairs of keys that are derived from a secret."""
MAX_HOST = 100
"""Most characters of a host's name."""
KEY_BYTES = 40
MAX_REJECTED = 20
"""Most refused hosts whose reason is reported."""


def checked(join: Join) -> Join:
    """Return a host's request in a form that is safe to use and to show.

    Raises:
        ValueError: The request is invalid.
    """
    keys = join.keeper_key, join.node_key
    if not all(isinstance(key, bytes) and len(key) == KEY_BYTES for key in keys):
        raise ValueError(f"keys must be {KEY_BYTES} bytes long")
    if not isinstance(join.pid, int):
        raise ValueError("a process id must be a number")
    names = join.version, join.python, join.host
    version, python, host = (printable(name[:MAX_HOST]) for name in names)
    return join._replace(version=version, python=python, host=host)


def mismatch(join: Join, version: str, python: str) -> str:
    """Return why a host cannot be a node of this controller; empty if it can."""
    if join.version != version:
        return f"it has amoc {join.version}, but the controller has {version}"
    theirs, ours = (text.rpartition(".")[0] for text in (join.python, python))
    if theirs != ours:
        return f"it has Python {join.python}, but the controller has {python}"
    return ""


class Rendezvous:
    """Answers hosts that want to join.

    Attributes:
        port: The port where they join.
        turned: Why hosts were turned away, by host.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        gate: Gate,
        secret: bytes,
        bind: Address,
        take: Callable[[Join], Joined | Rejected],
    ) -> None:
        """Listen at `bind`; `take` decides about a host, and repeats its answer if asked again.

        Raises:
            ResourceError: The address cannot be bound.
        """
        self.turned: dict[str, str] = {}
        self._take = take
        self._gate = gate
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        gate.guard(self._socket, DOMAIN, shared_keys(secret, CONTROLLER))
        gate.allow(DOMAIN, HOST, shared_keys(secret, HOST).public)
        endpoint = f"tcp://{bind.host}:{bind.port or '*'}"
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            gate.leave(self._socket)
            self._socket.close()
            raise ResourceError(f"{endpoint} cannot be bound: {error}") from None
        self.port = port_of(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
        self._reader = SocketReader(self._socket)
        self._answering = gevent.spawn(self._answer)

    def close(self) -> None:
        """Accept no more hosts."""
        self._answering.kill()
        self._reader.close()
        self._gate.leave(self._socket)
        self._socket.close()

    def _answer(self) -> None:
        for frames in self._reader.multipart():
            if len(frames) != 2:
                continue  # it knows the secret, but does not run amoc
            sender, packed = frames
            try:
                answer = self._judge(checked(FROM_HOST.unpack(packed)))
            except (PeerError, ValueError, TypeError, AttributeError):
                answer = Rejected(
                    "its request is invalid; amoc must be the same version on both hosts"
                )
            self._socket.send_multipart([sender, TO_HOST.pack(answer)])

    def _judge(self, join: Join) -> Joined | Rejected:
        why = mismatch(join, __version__, platform.python_version())
        answer = Rejected(why) if why else self._take(join)
        if isinstance(answer, Rejected) and len(self.turned) < MAX_REJECTED:
            self.turned[join.host] = answer.why
        return answer
