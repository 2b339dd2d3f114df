"""Logs: one for each process of a run, a JSON object in each line, through the standard `logging`.

A scenario logs as any program does, `logging.getLogger(__name__).info(…)`, and so does amoc. The
records of a process go to its own file below ``logs/`` in the run's directory, with the user's
id and the worker's index. That directory is known only after the scenario was loaded: what is
logged before is kept in memory.

How a process uses this: `begin` first of all; `open_directory` when it is known; `attach` when
there is a way to the operator; `tick` once a second; `end`. A forked process calls `begin` again:
its log is new, with a file of its own. After code of the scenario has run that may have configured
`logging` anew, `keep` puts things right; `tick` does so for what users do. These are what the
process's one `ProcessLog` does, as `logging` has one root.

Lines that say the same become one with a count (`amoc.runtime.logs.repeats`), a file's size is
limited (`amoc.runtime.logs.file`), and warnings are shown to the operator, a few a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import gevent

from amoc.base.operator_log import OperatorLog
from amoc.base.ticks import to_next_tick_s
from amoc.runtime.logs.handler import OWN, Log

__all__ = [
    "LEVELS",
    "attach",
    "begin",
    "drop",
    "end",
    "keep",
    "open_directory",
    "tick",
    "tick_forever",
]

TICK_S = 1.0

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""What ``--log-level`` can be."""


class ProcessLog:
    """What a process logs to."""

    def __init__(self) -> None:
        self._log: Log | None = None
        self._level = logging.INFO
        self._directory: str | None = None
        self._own: list[str] = []
        self._looked_at = 0

    def begin(self, process: str, level: str | None = None, **fields: object) -> None:
        """Be the log of this process; one that was inherited through a fork is dropped.

        Args:
            process: What the file is called: ``controller``, ``node0``, ``supervisor``,
                ``worker-0``.
            level: One of `LEVELS`; as it was if not given.
            fields: What each line has, such as the worker.
        """
        self._level = LEVELS[level] if level is not None else self._level
        self.drop()
        self._log = Log(process, self._level, fields)
        self.keep()
        if self._directory is not None:
            self._log.open(self._directory)

    def drop(self) -> None:
        """In a forked process: log no more, and write nothing of what the parent has held."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            self._log.drop()
            self._log = None

    def open_directory(self, directory: str | Path) -> None:
        """Write to `directory` from now on, also in forked processes; empty means nowhere."""
        # A scenario may change the working directory.
        self._directory = str(Path(directory).resolve()) if str(directory) else ""
        if self._log is not None:
            self._log.open(self._directory)

    def attach(
        self,
        operator: OperatorLog,
        user: Callable[[], int | None] | None = None,
        directory: str = "",
    ) -> None:
        """Show warnings to the operator from now on.

        Args:
            operator: Shows them.
            user: The calling user's number, or None; given where there are users.
            directory: Where the scenario's files are, whose lines are named in causes.
        """
        if user is not None:
            # The name of its thread would cost each user a thread object of its own.
            logging.logThreads = False
        if self._log is not None:
            self._log.directory = directory or self._log.directory
            self._log.attach(operator, user)

    def keep(self) -> None:
        """Make sure that the log is in place, whatever the scenario has done to `logging`."""
        log = self._log
        if log is not None:
            root = logging.getLogger()
            if log not in root.handlers:
                root.addHandler(log)
            if log.level != self._level:
                log.setLevel(self._level)
            if root.level == logging.NOTSET or root.level > self._level:
                root.setLevel(self._level)
            known = logging.root.manager.loggerDict
            for name in self._own_of(known):
                if isinstance(logger := known[name], logging.Logger):
                    logger.disabled = False  # dictConfig() disables loggers that it does not know

    def _own_of(self, known: Collection[str]) -> list[str]:
        """Amoc's own of the loggers that are known; they only become more."""
        if len(known) != self._looked_at:
            self._looked_at = len(known)
            self._own[:] = [name for name in known if name.startswith(OWN)]
        return self._own

    def tick(self) -> None:
        """Be in place, and write what was held for long; to be called about once a second."""
        if self._log is not None:
            self.keep()
            self._log.tick()

    def tick_forever(self) -> None:
        """Call `tick` each second; to be a greenlet of its own in a process with a loop."""
        while True:
            gevent.sleep(to_next_tick_s(TICK_S))
            self.tick()

    def end(self) -> None:
        """Write what is held, and no more."""
        if self._log is not None:
            self._log.end()
            logging.getLogger().removeHandler(self._log)
        self._log = self._directory = None


_this = ProcessLog()
begin, drop, open_directory, attach = _this.begin, _this.drop, _this.open_directory, _this.attach
keep, tick, tick_forever, end = _this.keep, _this.tick, _this.tick_forever, _this.end
