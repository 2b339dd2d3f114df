"""A child process that cannot outlive us, whose output we pass on.

Its standard input is a pipe that stays open as long as we live: when it ends, the child must leave.
It is started anew (`start_module`), or forked off (`start_fork`).

Code that uses `gevent.subprocess`, a plugin say, has the loop reap every child of the process.
So the loop is asked how a child has ended, and if it does not know, the kernel. That a child has
ended at all is seen through a pidfd, which nobody else can take: a status that somebody took with
`os.waitpid(-1)` is lost, and the run goes on without it.
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
"""How long the loop has to tell how a child ended that is known to have ended."""
started: set[int] = set()
"""The children that were started here, ever."""


class Started(NamedTuple):
    """A child that has just begun, in a process group of its own."""

    pid: int
    input: int
    """Our end of its standard input."""
    output: int
    """Our end of its standard output and error."""


@contextmanager
def _pipes() -> Iterator[tuple[int, int, int, int]]:
    """Our ends of the pipes, and the child's ones, which are open only within."""
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
            process_group=0,  # Ctrl-C is for us alone; we decide what it means for the run
        )
        child.returncode = STATUS_TAKEN  # it is not this object that will see its end
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
    """Fork off a child that does `main` and ends. It shares with us what is loaded by now.

    To be called where `can_fork`; a child that is started anew takes longer and more memory.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the child would write it once more
    gc.freeze()  # the collector would write to each object, here and there
    with _pipes() as (ours_in, ours_out, theirs_in, theirs_out):
        pid = os.fork()
        if pid == 0:
            try:
                _become_child(theirs_in, theirs_out)
                main()
            finally:  # whatever happens, it must not go on with what its parent does
                process.leave(int(ExitCode.INTERNAL))
        started.add(pid)
        with contextlib.suppress(OSError):  # it may have come first, or have ended already
            os.setpgid(pid, pid)
        return Started(pid, ours_in, ours_out)


def _become_child(stdin: int, output: int) -> None:
    """Have of the parent's what a child has that `start_module` starts."""
    os.setpgid(0, 0)
    for fd, own in enumerate((stdin, output, output)):
        os.dup2(own, fd)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.argv[1:] = []
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.append(HERE)


def _has_room(pipe: int) -> bool:
    """Whether `PIPE_BUF` bytes can be written at once, or nobody is there to read."""
    ends = select.poll()
    ends.register(pipe, select.POLLOUT)
    return bool(ends.poll(0))


class ChildProcess:
    """A child that was started.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, started: Started, on_line: Callable[[str], None]) -> None:
        """Each line that it prints goes to `on_line`."""
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
        """Write to its standard input; does nothing when it is gone, or is not wanted any more."""
        with contextlib.suppress(BrokenPipeError):
            while data and self._input >= 0:
                # No watcher: the loop would abort this process if somebody closed the lifeline
                # while we wait.
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
        """Its exit status, negative for a signal; None while it runs.

        `STATUS_TAKEN` when it has ended and somebody else has taken its status.
        """
        if self._status is None and self._ends.poll(0):
            self._ended_ns = self._ended_ns or now_ns()
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # The loop may have reaped it and be about to say so.
                if now_ns() - self._ended_ns > TAKEN_NS:
                    self._status = STATUS_TAKEN
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def close_lifeline(self, why: str = "") -> None:
        """Tell it that it is not wanted any more, and why, if it is there to read that."""
        if self._input >= 0:
            with contextlib.suppress(OSError):
                if _has_room(self._input):
                    os.write(self._input, why.encode()[: select.PIPE_BUF])
            os.close(self._input)
            self._input = -1

    def end(self, deadline_s: float) -> int:
        """Wait for its end, and kill it if it has not left after `deadline_s`; its status.

        Whatever it has started and left behind in its process group is killed with it.
        """
        give_up = now_ns() + int(deadline_s * S_NS)
        while (status := self.exit_status()) is None and now_ns() < give_up:
            gevent.sleep(LOOK_S)
        self.kill()
        while status is None:  # killed: this takes no longer than the kernel needs
            gevent.sleep(LOOK_S)
            status = self.exit_status()
        # What it said last is still in the pipe; a grandchild may hold it open for a moment.
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
        """Kill it at once, and all of its process group."""
        # A pid is not given to another process while there is a group of that number, and the
        # kernel goes once round all of them before it gives one again.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
