"""A child process that cannot outlive us, whose output we pass on.

Its standard input is a pipe that stays open as long as we live: when it ends, the child must leave.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
from gevent import socket as gsocket

import amoc
from amoc.base.clock import S_NS, now_ns
from amoc.base.text import LineSplitter

# The child imports this very amoc, which need not be installed; nothing of that reaches the
# environment of what the child starts in turn.
_HERE = str(Path(amoc.__file__).resolve().parents[1])
_START = (
    "import runpy, sys; sys.path.append({!r});"
    " runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
)


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
            # -P: a random.py where the operator stands must not become the child's.
            [sys.executable, "-P", "-c", _START.format(_HERE, module), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for us alone; we decide what it means for the run
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._input = self._process.stdin
        self._output = self._process.stdout
        self._on_line = on_line
        self._reader = gevent.spawn(self._read)

    def write(self, data: bytes) -> None:
        """Write to its standard input; in vain when it is gone."""
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
        """Its exit status, negative for a signal; None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        # It is not reaped here: until then its process group is known to be its own.
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def close_lifeline(self) -> None:
        """Tell it that it is not wanted any more."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def end(self, deadline_s: float) -> int:
        """Wait for its end, and kill it if it has not left after `deadline_s`; its status.

        Whatever it has started and left behind in its process group is killed with it.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while self.exit_status() is None and now_ns() < give_up:
            gevent.sleep(0.005)
        self.kill()
        status = self._process.wait()
        # What it said last is still in the pipe; a grandchild may hold it open for a moment.
        self._reader.join(0.5)
        self._reader.kill()
        self.close_lifeline()
        self._output.close()
        return status

    def kill(self) -> None:
        """Kill it at once, and all of its process group."""
        if self._process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
