"""Where people read: a terminal, a pipe, a file, or something that has been closed meanwhile."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO, cast

from gevent import get_hub, getcurrent
from gevent import socket as gsocket
from rich.console import Console

PLAIN_WIDTH = 10_000
"""Columns where there is no terminal: no line is broken, so that all of it can be searched for."""
PATIENCE_S = 2.0
"""How long writing waits for somebody to read."""


class _Patient:
    """A stream that neither breaks nor blocks the run: that is worth more than its view.

    Where nobody reads any more, what is written goes nowhere. Where nobody reads for a while (a
    terminal that was stopped, a pager, a slow pipe), writing waits for `PATIENCE_S` while the run
    goes on, and then leaves out what does not fit until there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stalled = False

    def write(self, text: str) -> int:
        """Write, or not."""
        stream = self._stream
        data = text.encode(stream.encoding, "backslashreplace")
        try:
            for start in range(0, len(data), select.PIPE_BUF):
                if not self._has_room():
                    break
                os.write(stream.fileno(), data[start : start + select.PIPE_BUF])
        except OSError:
            self._give_up()
        return len(text)

    def _has_room(self) -> bool:
        """Whether `PIPE_BUF` bytes can be written without waiting in the system."""
        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLOUT)
        if not poll.poll(0):
            if self._stalled or getcurrent() is get_hub():
                return False  # a callback of the loop cannot wait
            try:
                gsocket.wait_write(self._stream.fileno(), timeout=PATIENCE_S)
            except gsocket.timeout:
                self._stalled = True
                return False
        self._stalled = False
        return True

    def flush(self) -> None:
        """There is nothing to flush: it is all written, or left out."""

    def isatty(self) -> bool:
        """Whether it is, or was, a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding of what is written."""
        return self._stream.encoding

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def console(patient: bool = True) -> Console:
    """The console on standard output.

    What is no terminal is not taken for one because colours are asked for (FORCE_COLOR, as in many
    a CI): it would get tables that renew themselves.

    Args:
        patient: Whether writing may be left out rather than wait for a reader; not to be used
            where the standard library is patched.
    """
    sys.stdout.flush()  # from here on it is written to directly
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    stream = cast("TextIO", _Patient(sys.stdout)) if patient else sys.stdout
    if sys.stdout.isatty():
        return Console(file=stream)
    return Console(file=stream, width=PLAIN_WIDTH, force_terminal=False)
