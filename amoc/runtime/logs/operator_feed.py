"""Shows warnings and errors of a log to the operator, a few per second."""

from __future__ import annotations

import contextlib
import logging
import threading

from amoc.base.clock import S_NS
from amoc.base.operator_log import OperatorLog
from amoc.base.text import counted

MAX_PER_S = 3

_native_id = threading.get_native_id  # of the real thread, even if the module is patched later


class OperatorFeed:
    """Shows lines to the operator, and counts those that it does not show.

    There is no queue. Lines that come too fast, from a thread other than the process's own, or
    before there is an operator, are only in the log; the operator is told how many.

    Attributes:
        operator: Shows lines, in this thread only.
        hidden: How many lines the operator has not been shown or told of.
    """

    def __init__(self) -> None:
        self.operator: OperatorLog | None = None
        self._thread = _native_id()
        self._second_ends_ns = 0
        self._shown = 0
        self.hidden = 0

    def show(self, level: int, text: str, trace: str, count: int, now_ns: int) -> None:
        """Show a line that stands for `count` lines, followed by a traceback if there is one."""
        self.tick(now_ns)
        if self._shown >= MAX_PER_S or not self.operator or _native_id() != self._thread:
            self.hidden += count
            return
        self._shown += 1
        self.say("error" if level >= logging.ERROR else "warning", text)
        if trace:
            self.say("trace", trace)

    def tick(self, now_ns: int) -> None:
        """Start a new second if the last one is over."""
        if now_ns >= self._second_ends_ns and self.operator and _native_id() == self._thread:
            self._second_ends_ns, self._shown = now_ns + S_NS, 0
            self.end()

    def end(self) -> None:
        """Tell the operator how many lines were not shown."""
        hidden, self.hidden = self.hidden, 0
        if hidden:
            more = f"{counted(hidden, 'more warning')}: see the logs in the run's directory"
            self.say("warning", more)

    def say(self, level: str, text: str) -> None:
        """Show `text`, whatever the limit."""
        if self.operator is not None:
            with contextlib.suppress(Exception):  # the connection to the operator may be lost
                self.operator.show(level, text)
