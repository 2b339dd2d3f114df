"""A process's title, parent, signals, limits and usage."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

import setproctitle

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
PARENT_DIED = signal.SIGUSR2
"""The signal requested by `watch_parent`."""
parent_died = False
"""Whether this process ends because its parent died."""


def set_title(role: str) -> None:
    """Show `role` in ps and top: ``amoc: worker 3 (1200 users)``."""
    setproctitle.setproctitle(f"amoc: {role}")


def die_with(parent_pid: int, signum: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `signum` when its parent dies; exit if it has died."""
    _prctl(_PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != parent_pid:
        os._exit(1)


def watch_parent() -> int:
    """Have the kernel send this process `PARENT_DIED` when its parent dies; return its pid.

    The signal is ignored until a handler is installed. To the kernel the parent is the thread that
    started this process, so that thread must live as long as its process.
    """
    parent_pid = os.getppid()
    signal.signal(PARENT_DIED, lambda *_: None)
    _prctl(_PR_SET_PDEATHSIG, int(PARENT_DIED))
    return parent_pid


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def reset_signals() -> None:
    """Undo the parent's signal handling, and leave reactions to signals to the controller.

    A service manager or terminal may signal all processes of the run at once. The signals are
    caught, not ignored, since programs started by the scenario would inherit the latter.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)


def raise_fd_limit() -> int:
    """Raise the soft limit of open files to the hard limit, if the system allows it.

    Returns:
        The new soft limit, which is always finite on Linux.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # a system-wide limit may be lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def leave(code: int) -> NoReturn:
    """Flush output and exit at once.

    Neither ``finally`` blocks of callers nor exit handlers run: in a forked process they belong to
    its parent.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the scenario may have closed or replaced it
                stream.flush()
    finally:
        os._exit(code)


def name_of(pid: int) -> str:
    """Return the name of the program of process `pid`; ``?`` if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def cpu_ns(pid: int) -> int | None:
    """Return the CPU time used by process `pid`; None if it is not running."""
    fields = _stat(pid)
    if not fields or fields[0] == "Z":
        return None
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def is_stopped(pid: int) -> bool:
    """Return whether process `pid` is stopped by a signal or a debugger."""
    return _stat(pid)[:1] in (["T"], ["t"])


def _stat(pid: int) -> list[str]:
    """Return the fields about process `pid` from its state on; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def describe_exit(status: int) -> str:
    """Describe an exit status: ``was killed by SIGSEGV``, ``exited with 3``."""
    if status >= 0:
        return f"exited with {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
