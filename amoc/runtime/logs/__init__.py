"""Logs: one for each process of a run, a JSON object in each line, through the standard `logging`.

A scenario logs as any program does, `logging.getLogger(__name__).info(…)`, and so does amoc. The
records of a process go to its own file below ``logs/`` in the run's directory, with the user's
id and the worker's index. That directory is known only after the scenario was loaded: what is
logged before is kept in memory.

How a process uses this: `begin` first of all; `open_directory` when it is known; `attach` when
there is a way to the operator; `tick` once a second; `end`. A forked process calls `begin` again:
its log is new, with a file of its own. After code of the scenario has run that may have configured
`logging` anew, `keep` puts things right; `tick` does so for what users do.

Lines that say the same become one with a count (`amoc.runtime.logs.repeats`), a file's size is
limited (`amoc.runtime.logs.file`), and warnings are shown to the operator, a few a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import gevent

from amoc.base.moments import to_next_s
from amoc.base.operator import Operator
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

_log: Log | None = None
_level = logging.INFO
_own: list[str] = []
_looked_at = 0
_directory: str | None = None


def begin(process: str, level: str | None = None, **fields: object) -> None:
    """Be the log of this process; one that was inherited through a fork is dropped.

    Args:
        process: What the file is called: ``controller``, ``node0``, ``supervisor``, ``worker-0``.
        level: One of `LEVELS`; as it was if not given.
        fields: What each line has, such as the worker.
    """
    global _log, _level
    _level = LEVELS[level] if level is not None else _level
    drop()
    _log = Log(process, _level, fields)
    keep()
    if _directory is not None:
        _log.open(_directory)


def drop() -> None:
    """In a forked process: log no more, and write nothing of what the parent has held."""
    global _log
    if _log is not None:
        logging.getLogger().removeHandler(_log)
        _log.drop()
        _log = None


def open_directory(directory: str | Path) -> None:
    """Write to `directory` from now on, also in processes that are forked; empty means nowhere."""
    global _directory
    # A scenario may change the working directory.
    _directory = str(Path(directory).resolve()) if str(directory) else ""
    if _log is not None:
        _log.open(_directory)


def attach(
    operator: Operator, user: Callable[[], int | None] | None = None, directory: str = ""
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
    if _log is not None:
        _log.directory = directory or _log.directory
        _log.attach(operator, user)


def keep() -> None:
    """Make sure that the log is in place, whatever the scenario has done to `logging`."""
    if _log is not None:
        root = logging.getLogger()
        if _log not in root.handlers:
            root.addHandler(_log)
        if _log.level != _level:
            _log.setLevel(_level)
        if root.level == logging.NOTSET or root.level > _level:
            root.setLevel(_level)
        known = logging.root.manager.loggerDict
        for name in _own_names(known):
            if isinstance(logger := known[name], logging.Logger):
                logger.disabled = False  # dictConfig() disables loggers that it does not know


def _own_names(known: Collection[str]) -> list[str]:
    """Amoc's own of the loggers that are known; they only become more."""
    global _looked_at
    if len(known) != _looked_at:
        _looked_at = len(known)
        _own[:] = [name for name in known if name.startswith(OWN)]
    return _own


def tick() -> None:
    """Be in place, and write what was held for long enough; to be called about once a second."""
    if _log is not None:
        keep()
        _log.tick()


def tick_forever() -> None:
    """Call `tick` each second; to be a greenlet of its own in a process with an event loop."""
    while True:
        gevent.sleep(to_next_s(TICK_S))
        tick()


def end() -> None:
    """Write what is held, and no more."""
    global _log, _directory
    if _log is not None:
        _log.end()
        logging.getLogger().removeHandler(_log)
    _log = _directory = None
