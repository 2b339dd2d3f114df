"""What both ends of the bus have in common: two sockets, the one that hears with an ear to it."""

from __future__ import annotations

import tempfile
from typing import Self

import zmq

from amoc.ipc import socket_watch

TICK_S = socket_watch.TICK_S
"""How long a message can be there before somebody notices."""
LINGER_MS = 2_000
"""How long the end of a context may wait for what is still to be sent."""
MAX_UNACKED = 20_000
"""Commands on their way to one child, beyond which it counts as broken."""
MAX_BATCHES = 50
"""Messages of reports on their way from one child, at either end; beyond, it holds them back."""


def make_directory() -> str:
    """A directory for a run's sockets that only we may enter.

    The path of a socket has room for 107 bytes; where TMPDIR is too long for that, /tmp is taken.
    """
    base = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="amoc-", dir=base if len(base.encode()) < 70 else "/tmp")  # noqa: S108


def endpoints(directory: str) -> tuple[str, str]:
    """Where a parent publishes and where it collects, on this host."""
    return f"ipc://{directory}/commands", f"ipc://{directory}/reports"


class End:
    """A socket to speak with, one to hear with, and their end."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        speaking: tuple[int, int],
        hearing: tuple[int, int],
    ) -> None:
        """Make the sockets; of each the kind, and how many messages it holds for one peer."""
        self._speaks, self._hears = (context.socket(kind) for kind, _ in (speaking, hearing))
        for socket, (_, most) in ((self._speaks, speaking), (self._hears, hearing)):
            socket.set_hwm(most)
            socket.linger = LINGER_MS
        self._ear = socket_watch.SocketReader(self._hears)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more, and let what was said leave within `LINGER_MS`."""
        self._ear.close()
        self._hears.close(0)
        self._speaks.close()
