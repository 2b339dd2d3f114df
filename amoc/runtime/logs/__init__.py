"""Logs: one for each process of a run, one JSON object per line, through the standard `logging`.

A scenario logs like any program, with `logging.getLogger(__name__).info(…)`, and so does amoc. The
records of a process go to its own file in ``logs/`` in the run's directory, with the user's id and
the worker's index. That directory is known only after the scenario was loaded: earlier records are
kept in memory.

A process calls `begin` first, `open_directory` when the directory is known, `attach` when there is
a connection to the operator, `tick` once a second, and `end`. A forked process calls `begin` again:
it gets a new log with its own file. After code of the scenario has run, which may have reconfigured
`logging`, `keep` repairs the configuration; `tick` does so for the code of users. These are methods
of the process's single `ProcessLog`, as `logging` has one root.

Lines with the same content are merged into one with a count (`amoc.runtime.logs.repeats`), the size
of a file is limited (`amoc.runtime.logs.file`), and a few warnings per second are shown to the
operator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path

from amoc.base.operator_log import OperatorLog
from amoc.runtime.logs.handler import OWN, Log

__all__ = ["LEVELS", "attach", "begin", "drop", "end", "keep", "open_directory", "tick"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""The values of ``--log-level``."""
_is_disabled = attrgetter("disabled")


class ProcessLog:
    """The log of a process."""

    def __init__(self) -> None:
        self._log: Log | None = None
        self._level = logging.INFO
        self._directory: str | None = None
        self._own: list[logging.Logger] = []
        self._checked = 0

    def begin(self, process: str, level: str | None = None, **fields: object) -> None:
        """Start the log of this process; a log inherited through a fork is dropped.

        Args:
            process: Name of the file: ``controller``, ``node0``, ``supervisor``, ``worker-0``.
            level: One of `LEVELS`; unchanged by default.
            fields: Fields of each line, such as the worker.
        """
        self._level = LEVELS[level] if level is not None else self._level
        self.drop()
        self._log = Log(process, self._level, fields)
        self.keep()
        if self._directory is not None:
            self._log.open(self._directory)

    def drop(self) -> None:
        """Stop logging in a forked process, without writing lines that the parent holds."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            self._log.drop()
            self._log = None

    def open_directory(self, directory: str | Path) -> None:
        """Write to `directory` from now on, in forked processes too; empty means nowhere."""
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
            user: Returns the calling user's id, or None; for processes with users.
            directory: Directory of the scenario's files, whose lines are named in causes.
        """
        if user is not None:
            # Looking up the name of its thread would give each user a thread object.
            logging.logThreads = False
        if self._log is not None:
            self._log.directory = directory or self._log.directory
            self._log.attach(operator, user)

    def keep(self) -> None:
        """Repair the log's place in `logging`, whatever the scenario has done to it."""
        log = self._log
        if log is not None:
            root = logging.getLogger()
            if log not in root.handlers:
                root.addHandler(log)
            if log.level != self._level:
                log.setLevel(self._level)
            if root.level == logging.NOTSET or root.level > self._level:
                root.setLevel(self._level)
            own = self._own_of(logging.root.manager.loggerDict)
            if any(map(_is_disabled, own)):  # by dictConfig(), which does not know them
                for logger in own:
                    logger.disabled = False

    def _own_of(self, known: Mapping[str, object]) -> list[logging.Logger]:
        """Return amoc's own loggers among those known, whose number only grows."""
        if len(known) != self._checked:
            self._checked = len(known)
            self._own = [
                logger
                for name, logger in known.items()
                if name.startswith(OWN) and isinstance(logger, logging.Logger)
            ]
        return self._own

    def tick(self) -> bool:
        """Call `keep`, and write lines held for long enough; call it about once a second.

        Returns:
            Whether anything is left to write; if not, a process without users may call it later.
        """
        if self._log is None:
            return False
        self.keep()
        self._log.tick()
        return self._log.waits

    def end(self) -> None:
        """Write the held lines, and stop logging."""
        if self._log is not None:
            self._log.end()
            logging.getLogger().removeHandler(self._log)
        self._log = self._directory = None


_this = ProcessLog()
begin, drop, open_directory, attach = _this.begin, _this.drop, _this.open_directory, _this.attach
keep, tick, end = _this.keep, _this.tick, _this.end
