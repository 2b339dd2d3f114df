"""The node's connection to its supervisor, and the supervisor's process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from gevent import socket as gsocket
from gevent.event import Event

from amoc.ipc import pipe
from amoc.ipc.messages.links import FROM_SUPERVISOR, TO_SUPERVISOR, FromSupervisor, ToSupervisor

LAST_REPORT_S = 0.5
"""How long the last reports of a dead supervisor may take to arrive."""


class SupervisorLink:
    """Sends commands to the supervisor, and receives its reports about workers."""

    def __init__(self, pid: int, line: gsocket.socket) -> None:
        """Communicate through `line` with the process `pid`."""
        self._pid = pid
        self._line = line
        self._ended = Event()

    def send(self, command: ToSupervisor) -> None:
        """Send `command`."""
        with contextlib.suppress(OSError):  # if it has exited, reading from it reveals that
            self._line.sendall(pipe.encode(TO_SUPERVISOR, command))

    def reports(self) -> Iterator[FromSupervisor]:
        """Yield its reports, until it closes its end.

        Raises:
            PeerError: The data cannot be decoded.
        """
        decoder = pipe.Decoder(FROM_SUPERVISOR)
        while data := self._line.recv(65536):
            yield from decoder.feed(data)
        self._ended.set()

    def wait_dead(self) -> int | None:
        """Wait for its death; return its exit code, None if it was ended by `kill`.

        Waiting for its socket to close would not do: a process that init() forked may keep it open.
        """
        death = os.pidfd_open(self._pid)
        gsocket.wait_read(death)
        os.close(death)
        self._ended.wait(LAST_REPORT_S)  # process its last reports before its death
        if not self._pid:
            return None
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Kill it, if it is running; the kernel ends its workers."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
