"""Output streams: a terminal, a pipe, a file, or one that has been closed in the meantime."""

from __future__ import annotations

import os
import select
from io import TextIOWrapper
from typing import TextIO, cast

from gevent import get_hub, getcurrent
from gevent import socket as gsocket

from amoc.cli.output import give_up

PATIENCE_S = 2.0
"""How long a write waits for the reader."""
CONTROLS = {ord(one): None for one in map(chr, (*range(0x20), *range(0x7F, 0xA0))) if one != "\n"}
"""C0, delete and C1. Tabs have become spaces by then, and colour codes are removed or styles."""


class _Patient:
    """A stream that neither fails nor blocks the run.

    If the reader has exited, output is discarded. If it does not read for a while (a stopped
    terminal, a pager, a slow pipe), a write waits for `PATIENCE_S` while the run continues. Then it
    drops what does not fit, until there is room again.
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
        """Return whether `PIPE_BUF` bytes can be written without blocking."""
        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLOUT)
        if not poll.poll(0):
            if self._stalled or getcurrent() is get_hub():
                return False  # callbacks of the event loop cannot wait
            try:
                gsocket.wait_write(self._stream.fileno(), timeout=PATIENCE_S)
            except gsocket.timeout:
                self._stalled = True
                return False
        self._stalled = False
        return True

    def flush(self) -> None:
        """Do nothing, as output is not buffered."""

    def isatty(self) -> bool:
        """Return whether the stream is, or was, a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding of the output."""
        return self._stream.encoding


def prepared(stream: TextIO, patient: bool = True) -> TextIO:
    """Prepare `stream` for direct writes from now on.

    Args:
        stream: The stream.
        patient: Whether output may be dropped rather than wait for the reader. Must be False if the
            standard library is patched.
    """
    stream.flush()
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return cast("TextIO", _Patient(stream)) if patient else stream  # it has what rich uses
