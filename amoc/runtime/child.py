"""A child process that cannot outlive this one, and whose output is passed on.

Its standard input is a pipe that stays open while this process lives: when the pipe closes, the
child must exit. The child is a new program (`start_module`) or a fork (`start_fork`).

With code that uses `gevent.subprocess`, for example a plugin, the event loop reaps all children of
the process. So the loop is asked how a child has ended, then the kernel. That a child has ended at
all is known from a pidfd, which no other code can consume. An exit status that other code has taken
with `os.waitpid(-1)` is lost, and the run goes on without it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import gevent
from gevent import socket as gsocket
from gevent._hub_local import get_hub_if_exists

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ExitCode
from amoc.base.start_command import HERE, start_command
from amoc.base.text import LineSplitter

LOOK_S = 0.005
STATUS_TAKEN = 255
TAKEN_NS = S_NS // 10
"""How long after a child's end the loop may take to tell its exit status."""
started: set[int] = set()
"""All children ever started here."""


class Started(NamedTuple):
    """A child that has just been started, in its own process group."""

    pid: int
    input: int
    """Our end of its standard input."""
    output: int
    """Our end of its standard output and error."""


@contextmanager
def _pipes() -> Iterator[tuple[int, int, int, int]]:
    """Yield our ends of the pipes, and the child's, which are closed at the end of the context."""
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    try:
        yield ours_in, ours_out, theirs_in, theirs_out
    except BaseException:
        os.close(ours_in)
        os.close(ours_out)
        raise
    finally:
        os.close(theirs_in)
        os.close(theirs_out)


def start_module(module: str, arguments: Sequence[str]) -> Started:
    """Start ``python -m module arguments…``."""
    with _pipes() as (ours_in, ours_out, theirs_in, theirs_out):
        child = subprocess.Popen(
            start_command(module, arguments),
            stdin=theirs_in,
            stdout=theirs_out,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for this process, which decides what it means for the run
        )
        child.returncode = STATUS_TAKEN  # this object will not see its end
        started.add(child.pid)
        return Started(child.pid, ours_in, ours_out)


def can_fork() -> bool:
    """Return whether `start_fork` would work: one thread, no event loop, no map for `perf`.

    With ``python -X perf`` (3.12 and later) the interpreter writes its map to a file descriptor
    that the child would close and use for something else.
    """
    has_perf_map = getattr(sys, "is_stack_trampoline_active", bool)()
    one_thread = len(list(Path("/proc/self/task").iterdir())) == 1
    return one_thread and not has_perf_map and get_hub_if_exists() is None


def start_fork(main: Callable[[], object]) -> Started:
    """Fork a child that runs `main` and exits. It shares the modules loaded so far.

    Call it only if `can_fork`. Compared with a new program, it saves time and memory.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # otherwise the child would write the buffer, too
    gc.freeze()  # keep objects shared: the collector would write to many of their pages
    with _pipes() as (ours_in, ours_out, theirs_in, theirs_out):
        pid = os.fork()
        if pid == 0:
            try:
                _become_child(theirs_in, theirs_out)
                main()
            finally:  # in any case, the child must not continue with its parent's code
                process.leave(int(ExitCode.INTERNAL))
        started.add(pid)
        with contextlib.suppress(OSError):  # the child may have done it already, or have ended
            os.setpgid(pid, pid)
        return Started(pid, ours_in, ours_out)


def _become_child(stdin: int, output: int) -> None:
    """Give the fork the state of a child started by `start_module`."""
    os.setpgid(0, 0)
    for fd, own in enumerate((stdin, output, output)):
        os.dup2(own, fd)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.argv[1:] = []
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.append(HERE)


def _has_room(pipe: int) -> bool:
    """Return whether `PIPE_BUF` bytes can be written at once, or the reader has gone."""
    ends = select.poll()
    ends.register(pipe, select.POLLOUT)
    return bool(ends.poll(0))


class ChildProcess:
    """A started child process.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, started: Started, on_line: Callable[[str], None]) -> None:
        """Watch it; each line that it prints goes to `on_line`."""
        self.pid, self._input, self._output = started
        self._pidfd = os.pidfd_open(self.pid)
        self._ends = select.poll()
        self._ends.register(self._pidfd, select.POLLIN)
        self._ended_ns = 0
        self._status: int | None = None
        self._watcher = gevent.get_hub().loop.child(self.pid, ref=False)
        self._watcher.start(self._reaped)
        self._on_line = on_line
        self._reader = gevent.spawn(self._read)

    def write(self, data: bytes) -> None:
        """Write to its standard input; does nothing if the child or its lifeline is closed."""
        with contextlib.suppress(BrokenPipeError):
            while data and self._input >= 0:
                # No watcher: the loop would abort this process if another greenlet closed the
                # lifeline meanwhile.
                if _has_room(self._input):
                    data = data[os.write(self._input, data[: select.PIPE_BUF]) :]
                else:
                    gevent.sleep(LOOK_S)

    def _reaped(self) -> None:
        self._watcher.stop()
        self._status = os.waitstatus_to_exitcode(self._watcher.rstatus)

    def _read(self) -> None:
        lines = LineSplitter()
        data = b"?"
        while data:
            gsocket.wait_read(self._output)
            data = os.read(self._output, 65536)
            for line in lines.feed(data):
                self._on_line(line)

    def exit_status(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs.

        `STATUS_TAKEN` if it has ended and other code has taken its status.
        """
        if self._status is None and self._ends.poll(0):
            self._ended_ns = self._ended_ns or now_ns()
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # The loop may have reaped it, and be about to report that.
                if now_ns() - self._ended_ns > TAKEN_NS:
                    self._status = STATUS_TAKEN
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def close_lifeline(self, why: str = "") -> None:
        """Close its standard input, so that it exits; send it the reason first if it reads."""
        if self._input >= 0:
            with contextlib.suppress(OSError):
                if _has_room(self._input):
                    os.write(self._input, why.encode()[: select.PIPE_BUF])
            os.close(self._input)
            self._input = -1

    def end(self, deadline_s: float) -> int:
        """Wait for its end, and kill it after `deadline_s`; return its exit status.

        Processes that it has started and left in its process group are killed with it.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while (status := self.exit_status()) is None and now_ns() < give_up:
            gevent.sleep(LOOK_S)
        self.kill()
        while status is None:  # killed: only the kernel's work remains
            gevent.sleep(LOOK_S)
            status = self.exit_status()
        # Its last output is still in the pipe, which a grandchild may hold open for a moment.
        self._reader.join(0.5)
        self._reader.kill()
        self.close_lifeline()
        if self._pidfd >= 0:
            self._watcher.close()
            os.close(self._output)
            os.close(self._pidfd)
            self._pidfd = -1
        return status

    def kill(self) -> None:
        """Kill it and its whole process group at once."""
        # A pid is not reused while a process group of that number exists, nor before the kernel
        # has gone through all other pids.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
