"""The file in which a worker that hangs leaves its stack, and the node's access to it.

The first line names the thread and the scenario's directory. The worker writes it when it starts
(`amoc.runtime.worker.stall_detector`). Without that line no handler is installed, and the signal
must not be sent.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from amoc.runtime.stall_causes import from_text, place_of

SIGNAL = signal.SIGRTMAX - 3
"""Makes a worker write its stack; a signal that programs do not use otherwise."""


def file_of(directory: str, child: str) -> Path:
    """Return where a worker leaves the stack of a stall.

    Args:
        directory: Directory of its node's sockets.
        child: Its name on the bus.
    """
    return Path(directory) / f"{child}.stack"


def ask(pid: int, file: Path) -> None:
    """Ask the worker `pid` to write its stack to `file`, unless it has; it may be unable to."""
    # Without the first line there is no handler yet, and the signal would kill it.
    if _read(file).count("\n") == 1:
        with contextlib.suppress(OSError):
            os.kill(pid, SIGNAL)


def where_it_hangs(file: Path) -> str:
    """Return the place in a worker's file; empty if it contains none."""
    header, _, text = _read(file).partition("\n")
    thread, _, directory = header.partition(" ")
    return place_of(from_text(text, int(thread, 16)), directory) if text else ""


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
