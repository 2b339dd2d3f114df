"""Forwards what the scenario prints, in whole lines, up to a limit per second."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from gevent import socket as gsocket
from gevent.event import Event

from amoc.base.clock import now_ns
from amoc.base.text import LineSplitter, RateLimiter
from amoc.ipc.messages.lifecycle import Output

MAX_LINES = 2_000
MAX_CHARACTERS = 1 << 18
"""What the scenario may print each second, lines and characters; the rest is only counted."""
REMARK_S = 1.0
"""How soon dropped output is reported."""


class OutputRelay:
    """Reads the pipe that the supervisor and the workers print to.

    Attributes:
        ended: Set at the end of the pipe, when no process has it open any more.
    """

    def __init__(self, fd: int, report: Callable[[Output], None]) -> None:
        """Read `fd`. `report` must not block, or workers would block when they print."""
        self.ended = Event()
        self._fd = fd
        self._report = report

    def run(self) -> None:
        """Forward output until the end. Runs in its own greenlet."""
        lines = LineSplitter()
        limiter = RateLimiter(MAX_LINES, MAX_CHARACTERS)
        ended = False
        while not ended:
            whole: list[str] = []
            with contextlib.suppress(gsocket.timeout):
                gsocket.wait_read(self._fd, timeout=REMARK_S if limiter.dropped else None)
                data = os.read(self._fd, 65536)
                whole, ended = lines.feed(data), not data
            passed = limiter.take(whole, now_ns())
            if passed or ended:
                self._report(Output([*passed, *(limiter.remark() if ended else [])]))
        self.ended.set()
