"""What of a log the operator is shown as well: warnings and errors, a few a second. Pure."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from amoc.base.clock import S_NS
from amoc.base.text import counted

MAX_A_SECOND = 3
MAX_WAITING = 100
"""What is kept while there is nobody to tell it to."""

Tell = Callable[[str, str], None]
"""Takes what the operator should read: a level as in `amoc.ipc.messages.Note`, and a line."""


class OperatorFeed:
    """Tells the operator, once there is a way, and counts what would be too much."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str]] = deque(maxlen=MAX_WAITING)
        self._second_ends_ns = 0
        self._told = 0
        self._untold = 0

    def put(self, level: int, text: str, trace: str, now_ns: int) -> None:
        """Have a line told, and a traceback after it if there is one."""
        if now_ns >= self._second_ends_ns:
            self._remark()
            self._second_ends_ns, self._told = now_ns + S_NS, 0
        if self._told >= MAX_A_SECOND:
            self._untold += 1
            return
        self._told += 1
        self._waiting.append(("error" if level >= logging.ERROR else "warning", text))
        if trace:
            self._waiting.append(("trace", trace))

    def _remark(self) -> None:
        untold, self._untold = self._untold, 0
        if untold:
            more = f"{counted(untold, 'more warning')}: see the logs in the run's directory"
            self._waiting.append(("warning", more))

    def flush(self, tell: Tell, now_ns: int) -> None:
        """Tell what waits."""
        if now_ns >= self._second_ends_ns:
            self._remark()
        while self._waiting:
            tell(*self._waiting.popleft())
