"""A child process that cannot outlive us, whose output we pass on.

Its standard input is a pipe that stays open as long as we live: when it ends, the child must leave.

Code that uses `gevent.subprocess`, a plugin say, has the loop reap every child of the process.
So children are started through it, and it is the loop that tells how they ended. That a child has
ended at all is seen through a pidfd, which nobody else can take: a status that somebody took with
`os.waitpid(-1)` is lost, and the run goes on without it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
from gevent import socket as gsocket
from gevent import subprocess

import amoc
from amoc.base.clock import S_NS, now_ns
from amoc.base.text import LineSplitter

STATUS_TAKEN = 255
TAKEN_NS = S_NS // 10
"""How long the loop has to tell how a child ended that is known to have ended."""
# The child imports this very amoc, which need not be installed; nothing of that reaches the
# environment of what the child starts in turn.
_HERE = str(Path(amoc.__file__).resolve().parents[1])
_START = (
    "import runpy, sys; sys.path.append({!r});"
    " runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
)


def start_command(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a module of amoc's as ``python -m`` does."""
    # -P: a random.py where the operator stands must not become the child's.
    return [sys.executable, "-P", "-c", _START.format(_HERE, module), *arguments]


class ChildProcess:
    """A Python module run as a process of its own.

    Attributes:
        pid: Its process id.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], on_line: Callable[[str], None]
    ) -> None:
        """Start ``python -m module arguments…``; each line it prints goes to `on_line`."""
        self._process = subprocess.Popen(
            start_command(module, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for us alone; we decide what it means for the run
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid: int = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._ends = select.poll()
        self._ends.register(self._pidfd, select.POLLIN)
        self._ended_ns = 0
        self._status: int | None = None
        self._input = self._process.stdin
        self._output = self._process.stdout
        self._on_line = on_line
        self._reader = gevent.spawn(self._read)

    def write(self, data: bytes) -> None:
        """Write to its standard input; does nothing when it is gone."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write(data)
            self._input.flush()

    def _read(self) -> None:
        fd = self._output.fileno()
        lines = LineSplitter()
        data = b"?"
        while data:
            gsocket.wait_read(fd)
            data = os.read(fd, 65536)
            for line in lines.feed(data):
                self._on_line(line)

    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs.

        `STATUS_TAKEN` when it has ended and somebody else has taken its status.
        """
        if self._status is None:
            self._status = self._process.poll()
        if self._status is None and self._ends.poll(0):
            self._ended_ns = self._ended_ns or now_ns()
            # The loop may have reaped it and be about to say so.
            if now_ns() - self._ended_ns > TAKEN_NS:
                self._status = STATUS_TAKEN
        return self._status

    def close_lifeline(self) -> None:
        """Tell it that it is not wanted any more."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def end(self, deadline_s: float) -> int:
        """Wait for its end, and kill it if it has not left after `deadline_s`; its status.

        Whatever it has started and left behind in its process group is killed with it.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while (status := self.exit_status()) is None and now_ns() < give_up:
            gevent.sleep(0.005)
        self.kill()
        while status is None:  # killed: this takes no longer than the kernel needs
            gevent.sleep(0.005)
            status = self.exit_status()
        # What it said last is still in the pipe; a grandchild may hold it open for a moment.
        self._reader.join(0.5)
        self._reader.kill()
        self.close_lifeline()
        self._output.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        return status

    def kill(self) -> None:
        """Kill it at once, and all of its process group."""
        # A pid is not given to another process while there is a group of that number, and the
        # kernel goes once round all of them before it gives one again.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
