"""The node's line to its supervisor, and its process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from gevent import socket as gsocket
from gevent.event import Event

from amoc.ipc import pipe
from amoc.ipc.messages.links import FROM_SUPERVISOR, TO_SUPERVISOR, FromSupervisor, ToSupervisor

LAST_WORDS_S = 0.5
"""How long what it said last may take when it has died."""


class SupervisorLink:
    """Tells the supervisor what to do, and hears what has become of its workers."""

    def __init__(self, pid: int, line: gsocket.socket) -> None:
        """Speak through `line` with the process `pid`."""
        self._pid = pid
        self._line = line
        self._ended = Event()

    def tell(self, command: ToSupervisor) -> None:
        """Send `command`."""
        with contextlib.suppress(OSError):  # if it is gone, reading from it says so
            self._line.sendall(pipe.encode(TO_SUPERVISOR, command))

    def reports(self) -> Iterator[FromSupervisor]:
        """What it reports, until its end.

        Raises:
            PeerError: What arrives cannot be read.
        """
        decoder = pipe.Decoder(FROM_SUPERVISOR)
        while data := self._line.recv(65536):
            yield from decoder.feed(data)
        self._ended.set()

    def wait_dead(self) -> int | None:
        """Wait for its death; how it ended as an exit code, None if it was `kill`.

        Not for the end of its line: a process that init() forked may hold that open.
        """
        death = os.pidfd_open(self._pid)
        gsocket.wait_read(death)
        os.close(death)
        self._ended.wait(LAST_WORDS_S)  # what it said last comes before how it ended
        if not self._pid:
            return None
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it, if it is there; the kernel ends its workers."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
