"""The file in which a worker that hangs leaves its stack, and how its node gets at it.

The first line says which thread is meant, and where the scenario is. The worker writes it while it
lives (`amoc.runtime.worker.stall_detector`), so as long as there is no such line no handler is
installed, and the signal must not be sent.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from amoc.runtime.stall_causes import from_text, place_of

SIGNAL = signal.SIGRTMAX - 3
"""Has a worker write its stack; one that programs do not use for anything else."""


def file_of(directory: str, child: str) -> Path:
    """Where a worker leaves the stack of what hangs.

    Args:
        directory: That of its node's sockets.
        child: How the bus calls it.
    """
    return Path(directory) / f"{child}.stack"


def ask(pid: int, file: Path) -> None:
    """Have the worker `pid` write its stack to `file`, unless it has; it need not be able to."""
    # Without its first line there is no handler yet, and the signal would end it.
    if _read(file).count("\n") == 1:
        with contextlib.suppress(OSError):
            os.kill(pid, SIGNAL)


def where_it_hangs(file: Path) -> str:
    """The place that a worker's file tells of; empty where it tells of none."""
    header, _, text = _read(file).partition("\n")
    thread, _, directory = header.partition(" ")
    return place_of(from_text(text, int(thread, 16)), directory) if text else ""


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
