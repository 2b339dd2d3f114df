"""The handler that makes log records lines of a process's log, and shows the grave ones.

It is called from users, from callbacks of the event loop and from threads. So it never waits, and
takes no lock: a user that lost its turn while it held one could not be waited for in the loop. All
that it changes, it changes in single steps. It never raises either: a log call must not be what a
user crashes of.

Only lines that are written are put together, and of those that are held the first: it may stay the
only one. Each other that is held costs a look at its kind, and at what it shares with that first.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amoc.base.clock import now_ns
from amoc.base.crash_causes import cause_of, end_of, trace_of
from amoc.base.json_plain import plain
from amoc.base.redaction import hide
from amoc.base.text import numberless
from amoc.runtime.logs.clipping import clip
from amoc.runtime.logs.file import LogFile
from amoc.runtime.logs.folding import Fold, Folds, template_of
from amoc.runtime.logs.operator_feed import OperatorFeed, Tell
from amoc.runtime.logs.shared_text import Common

MAX_MESSAGE = 10_000
MAX_TOLD = 500
"""Characters of a message in the log, and of what the operator is shown."""
MAX_EXTRA = 10_000
"""Characters of what is given with a line, about."""
OWN = "amoc."
"""How the names of amoc's own loggers begin."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_KEPT = ("level", "logger", "message", "cause")
"""What a line that stands for many has of the first of them; of the message what all say."""
_PLACE = ("worker", "incarnation")
_AMOC = frozenset({"user", "cause", "tell", *_PLACE})
"""What amoc's own loggers give with `extra`, and nobody else."""

_native_id = threading.get_native_id  # of the real thread, also where the module is patched later


class Log(logging.Handler):
    """Writes the log of one process.

    Attributes:
        process: Whose log it is: ``controller``, ``node0``, ``supervisor``, ``worker-0``.
        directory: Where a worker finds the scenario's files, to name its lines as causes.
    """

    def __init__(self, process: str, level: int, fields: Mapping[str, Any]) -> None:
        """Be the log of `process`.

        Args:
            process: See the attribute.
            level: The least that is written.
            fields: What each line has.
        """
        super().__init__(level)
        self.process = process
        self.directory = ""
        self._fields = fields
        self._folds = Folds()
        self._file = LogFile(self._remark, self._warn)
        self._telling = OperatorFeed()
        self._tell: Tell | None = None
        self._who: Callable[[], int | None] = lambda: None
        self._thread = _native_id()

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """There is none, see above."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, without a lock."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def open(self, directory: str) -> None:
        """Write to a file in `directory` from now on; empty means nowhere."""
        self._file.open(Path(directory) / f"{self.process}.jsonl" if directory else None)

    def attach(self, tell: Tell, who: Callable[[], int | None] | None = None) -> None:
        """Show what is grave with `tell` from now on.

        Args:
            tell: Never waits; called in this thread only.
            who: The calling user's number, if it is one.
        """
        self._tell = tell
        self._who = who or self._who
        self._telling.flush(tell, now_ns())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it if the like of it was written."""
        try:
            now = now_ns()
            fold = self._folds.find(self._kind(record), record.levelno, now)
            count = fold.take(now)
            if count == 1:
                self._write(record, fold, now)
                return
            self._hold(record, fold)
            if count:
                self._write_held(fold, count, now)
        except Exception:
            self.handleError(record)

    def tick(self) -> None:
        """Write what was held for long enough; to be called about once a second."""
        now = now_ns()
        for fold, count in self._folds.due(now):
            self._write_held(fold, count, now)
        self._file.tick()
        if self._tell is not None:
            self._telling.flush(self._tell, now)

    def end(self) -> None:
        """Write what is held, and no more after that."""
        now = now_ns()
        for fold, count in self._folds.end():
            self._write_held(fold, count, now)
        self._file.close()
        if self._tell is not None:
            with contextlib.suppress(Exception):  # the way to the operator may be gone
                self._telling.flush(self._tell, now)

    def drop(self) -> None:
        """Close what was inherited from the process that this one was forked from."""
        self._file.drop()

    # Records

    def _kind(self, record: logging.LogRecord) -> tuple[Any, ...]:
        cause = vars(record).get("cause") if record.name.startswith(OWN) else None
        if cause is None and (error := _error_of(record) or _error_in(record.args)) is not None:
            cause = cause_of(error, self.directory)
        name, level = record.name, record.levelno
        return name, level, template_of(_unfilled(record)), record.pathname, record.lineno, cause

    def _write(self, record: logging.LogRecord, fold: Fold, now: int) -> None:
        entry = self._entry(record)
        # Amoc's own are shown where they say so.
        shown = not record.name.startswith(OWN) or vars(record).get("tell", False)
        if fold.line is None:
            line = {name: entry[name] for name in _KEPT if name in entry}
            line["message"] = numberless(line["message"])
            fold.line = line, shown and record.levelno >= logging.WARNING
        self._put(fold, entry, now, entry.get("traceback", ""))

    def _put(self, fold: Fold, entry: Mapping[str, Any], now: int, trace: str = "") -> None:
        """Write a line; the operator is shown `trace` with it, which the first of a kind has."""
        self._file.write(fold.level, entry)
        if fold.line[1]:
            self._show(fold.level, entry, trace, now)

    def _entry(self, record: logging.LogRecord) -> dict[str, Any]:
        """A record as a line."""
        given = vars(record)
        entry: dict[str, Any] = {
            "at": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **self._fields,
        }
        own = _AMOC & given.keys() if record.name.startswith(OWN) else frozenset()
        user = given["user"] if "user" in own else self._who()
        if user is not None:
            entry["user"] = user
        entry.update((name, given[name]) for name in (*_PLACE, "cause") if name in own)
        known = _STANDARD | own
        extra = {name: one for name, one in given.items() if name not in known}
        if extra:
            entry["extra"] = _plain(extra)
        if (error := _error_of(record)) is not None:
            entry["traceback"] = trace_of(error)
        elif record.stack_info:
            entry["traceback"] = end_of(record.stack_info)
        return entry

    def _hold(self, record: logging.LogRecord, fold: Fold) -> None:
        """Keep what a held line says: the first as a whole, of others what they share with it."""
        if fold.held is None:
            fold.held = self._entry(record), Common(_unfilled(record), record.args)
        else:
            fold.held[1].add(_unfilled(record), record.args)

    def _write_held(self, fold: Fold, count: int, now: int) -> None:
        held, fold.held = fold.held, None
        if held is not None and count == 1:
            self._put(fold, held[0], now)
            return
        line = fold.line[0]  # all there is where another thread has counted its line, and no more
        if held is not None:
            entry, common = held
            line = {name: entry[name] for name in _KEPT if name in entry}
            line["message"] = common.text(entry["message"])
        if fold.others:
            line = {**line, "message": "lines of many other kinds"}
            line.pop("cause", None)
        self._put(fold, {"at": _utc(), **line, **self._fields, "count": count}, now)

    def _remark(self, text: str) -> dict[str, Any]:
        line = {"at": _utc(), "level": "warning", "logger": "amoc.runtime.logs", "message": text}
        return {**line, **self._fields}

    # The operator

    def _show(self, level: int, entry: Mapping[str, Any], trace: str, now: int) -> None:
        if any(map(_prints, logging.getLogger().handlers)):
            return  # by the scenario's own wish it is shown already
        user, count = entry.get("user"), entry.get("count", 1)
        notes = [entry["logger"]]
        if user is not None:
            notes.append(f"user {user}")
        if count > 1:
            notes.append(f"{count:,} more")
        message = " ".join(entry["message"].split())
        text = message if len(message) <= MAX_TOLD else message[:MAX_TOLD] + "…"
        self._telling.put(level, f"{text} ({', '.join(notes)})", trace, now)
        if self._tell is not None and _native_id() == self._thread:
            self._telling.flush(self._tell, now)

    def _warn(self, text: str) -> None:
        self._telling.put(logging.WARNING, text, "", now_ns())


def _prints(handler: logging.Handler) -> bool:
    streams = (sys.stderr, sys.stdout)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams


def _utc(at_s: float | None = None) -> str:
    when = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _error_in(arguments: object) -> BaseException | None:
    """The error that a message is about, as in ``log.warning("no answer: %s", error)``."""
    if isinstance(arguments, tuple):
        for one in arguments:
            if isinstance(one, BaseException):
                return one
    return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a message may be any object
        return f"a {type(value).__name__} that cannot say what it is: {type(error).__name__}"


def _unfilled(record: logging.LogRecord) -> str:
    """What a record says before its arguments are filled in."""
    return record.msg if isinstance(record.msg, str) else _text(record.msg)


def _message(record: logging.LogRecord) -> str:
    message = _unfilled(record)
    if record.args:
        try:
            message = message % record.args
        except Exception as error:  # too few arguments, or one that cannot say what it is
            message = f"{message} (its arguments do not fit: {type(error).__name__})"
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"


def _plain(extra: Mapping[str, Any]) -> Any:
    try:
        return plain(hide(clip(extra, MAX_EXTRA)))
    except Exception as error:  # it is the scenario's, and may be anything
        return f"cannot be written: {type(error).__name__}"
