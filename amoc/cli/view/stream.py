"""What is written to: a terminal, a pipe, a file, or something that has been closed meanwhile."""

from __future__ import annotations

import os
import select
from typing import TextIO, cast

from gevent import get_hub, getcurrent
from gevent import socket as gsocket

from amoc.cli.output import give_up

PATIENCE_S = 2.0
"""How long a write waits for the reader."""
CONTROLS = {ord(one): None for one in map(chr, (*range(0x20), *range(0x7F, 0xA0))) if one != "\n"}
"""C0, delete and C1; tabs have become spaces by then, and what colours text is gone or a style."""


class _Patient:
    """A stream that neither breaks nor blocks the run.

    When the reader is gone, output is discarded. When it does not read for a while (a stopped
    terminal, a pager, a slow pipe), a write waits for `PATIENCE_S` while the run goes on, and then
    drops what does not fit until there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stalled = False

    def write(self, text: str) -> int:
        """Write `text`, or drop what does not fit."""
        stream = self._stream
        data = text.encode(stream.encoding, "backslashreplace")
        try:
            for start in range(0, len(data), select.PIPE_BUF):
                if not self._has_room():
                    break
                os.write(stream.fileno(), data[start : start + select.PIPE_BUF])
        except OSError as error:
            give_up(stream.fileno(), error)
        return len(text)

    def _has_room(self) -> bool:
        """Whether `PIPE_BUF` bytes can be written without blocking."""
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
        """There is nothing to flush: output is not buffered."""

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


def prepared(stream: TextIO, patient: bool = True) -> TextIO:
    """`stream`, to be written to directly from here on.

    Args:
        stream: Where to.
        patient: Whether output may be dropped rather than wait for the reader; must be False where
            the standard library is patched.
    """
    stream.flush()
    stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    return cast("TextIO", _Patient(stream)) if patient else stream
