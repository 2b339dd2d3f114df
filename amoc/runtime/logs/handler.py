"""The handler that writes log records to a process's log, and shows warnings to the operator.

It is called from users, from callbacks of the event loop and from threads. So it never blocks: its
lock is held only while lines are counted, when neither code of the scenario nor another user can
run. It never raises either: a log call must not crash a user.

Only lines that are written are formatted. All others cost a lookup of their kind.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from amoc.base.clock import now_ns, utc_text
from amoc.base.operator_log import OperatorLog
from amoc.base.redaction import hide
from amoc.base.text import numberless
from amoc.base.tracebacks import cause_of, end_of, trace_of
from amoc.runtime.logs.clipping import clip
from amoc.runtime.logs.file import Entry, LogFile
from amoc.runtime.logs.operator_feed import OperatorFeed
from amoc.runtime.logs.repeats import OTHERS, Key, Kind, RepeatFilter, template_of

MAX_MESSAGE = 10_000
MAX_SHOWN = 500
"""Most characters of a message in the log, and in what is shown to the operator."""
MAX_EXTRA = 10_000
"""Approximate number of characters of a line's extra data."""
OWN = "amoc."
"""Prefix of the names of amoc's own loggers."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLACE = ("worker", "incarnation")
_AMOC = frozenset({"user", "cause", "tell", *_PLACE})
"""Keys of `extra` that are reserved for amoc's own loggers."""


class Log(logging.Handler):
    """Writes the log of one process.

    Attributes:
        process: The process: ``controller``, ``node0``, ``supervisor``, ``worker-0``.
        directory: Directory of the scenario's files in a worker, to name its lines as causes.
    """

    def __init__(self, process: str, level: int, fields: Mapping[str, object]) -> None:
        """Create the log of `process`.

        Args:
            process: See the attribute.
            level: The lowest level that is written.
            fields: Fields of each line.
        """
        super().__init__(level)
        self.process = process
        self.directory = ""
        self._fields = fields
        self._repeats = RepeatFilter()
        # Reentrant: a finalizer that the garbage collector runs here may log, too.
        self._counting = threading.RLock()
        self._file = LogFile(self._remark)
        self._feed = OperatorFeed()
        self._user: Callable[[], int | None] = lambda: None

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """Set no lock: a user that yields while holding it would block all others."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Handle a record; one that cannot be formatted is counted."""
        try:
            passed = self.filter(record)
            if passed:
                self.emit(passed if isinstance(passed, logging.LogRecord) else record)
            return bool(passed)
        except Exception as error:
            with contextlib.suppress(Exception):  # the stack may be exhausted
                self._file.leave_out(f"they could not be formatted ({type(error).__name__})")
            return False

    def open(self, directory: str) -> None:
        """Write to a file in `directory` from now on; empty means nowhere."""
        self._file.open(Path(directory) / f"{self.process}.jsonl" if directory else None)

    def attach(self, operator: OperatorLog, user: Callable[[], int | None] | None = None) -> None:
        """Show warnings to `operator` from now on.

        Args:
            operator: Shows lines, in this thread only.
            user: Returns the calling user's id, or None.
        """
        self._user = user or self._user
        self._feed.operator = operator
        self._show_notices()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it if one of its kind was written before."""
        now, key = now_ns(), self._key(record)
        own = record.name.startswith(OWN)
        # Amoc reports its own events to the operator itself; its records are shown only if marked.
        shown = record.levelno >= logging.WARNING and (not own or vars(record).get("tell", False))
        with self._counting:
            kind = self._repeats.find(key, shown, now)
            count = kind.take(now)
        if count == 1:
            self._write(record, kind, now)
        elif count:
            self._write_count(kind, count, now)

    def tick(self) -> None:
        """Write lines held for long enough; call it about once a second."""
        now = now_ns()
        self._write_held(now)
        self._file.tick()
        self._show_notices()
        self._feed.tick(now)

    @property
    def waits(self) -> bool:
        """Whether a later `tick` has something to write or to show."""
        return self._repeats.holds or self._file.has_left_out or self._feed.hidden > 0

    def end(self) -> None:
        """Write the held lines, and stop."""
        self._write_held(now_ns(), ending=True)
        self._file.close()
        self._show_notices()
        self._feed.end()

    def drop(self) -> None:
        """Close a log inherited through a fork."""
        self._file.drop()

    # Records

    def _key(self, record: logging.LogRecord) -> Key:
        cause = vars(record).get("cause") if record.name.startswith(OWN) else None
        if cause is None and (error := _error_of(record) or _error_in(record.args)) is not None:
            cause = cause_of(error, self.directory)
        template = template_of(_unfilled(record))
        place = record.pathname, record.lineno
        return Key(record.name, record.levelno, template, place, cause)

    def _write(self, record: logging.LogRecord, kind: Kind, now: int) -> None:
        """Write the first line of a kind, or a later one that is not merged."""
        entry = self._entry(record)
        message, trace = str(entry["message"]), str(entry.get("traceback", ""))
        user = entry.get("user")
        if kind.message is not OTHERS:
            kind.message = numberless(message)
        self._file.write(kind.key.level, entry)
        if kind.shown:
            notes = [record.name] if user is None else [record.name, f"user {user}"]
            self._show(kind.key.level, message, notes, trace, 1, now)

    def _write_held(self, now: int, ending: bool = False) -> None:
        with self._counting:
            held = self._repeats.due(now, ending)
        for kind, count in held:
            self._write_count(kind, count, now)

    def _write_count(self, kind: Kind, count: int, now: int) -> None:
        """Write a line that stands for `count` lines."""
        key = kind.key
        cause = {} if key.cause is None else {"cause": key.cause}
        line = self._line(key.level, key.logger, kind.message)
        self._file.write(key.level, {**line, **cause, "count": count}, count)
        if kind.shown:
            self._show(key.level, kind.message, [key.logger, f"{count:,} more"], "", count, now)

    def _entry(self, record: logging.LogRecord) -> dict[str, object]:
        """Convert a record to a line."""
        given = vars(record)
        entry = self._line(record.levelno, record.name, _message(record), record.created)
        own = _AMOC & given.keys() if record.name.startswith(OWN) else frozenset()
        user = given["user"] if "user" in own else self._user()
        if user is not None:
            entry["user"] = user
        entry.update((name, given[name]) for name in (*_PLACE, "cause") if name in own)
        known = _STANDARD | own
        extra = {name: one for name, one in given.items() if name not in known}
        if extra:
            entry["extra"] = _plain(extra)
        if (error := _error_of(record)) is not None:
            entry["traceback"] = hide(trace_of(error))
        elif record.stack_info:
            entry["traceback"] = end_of(record.stack_info)
        return entry

    def _remark(self, text: str) -> Entry:
        return self._line(logging.WARNING, "amoc.runtime.logs", text)

    def _line(
        self, level: int, logger: str, message: str, at_s: float | None = None
    ) -> dict[str, object]:
        """Return the fields that every line has."""
        name = logging.getLevelName(level).lower()
        own = {"at": _utc(at_s), "level": name, "logger": logger, "message": message}
        return {**own, **self._fields}

    # The operator

    def _show(
        self, level: int, message: str, notes: list[str], trace: str, count: int, now: int
    ) -> None:
        if any(map(_prints, logging.getLogger().handlers)):
            return  # a handler of the scenario prints it already
        text = " ".join(message.split())
        text = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
        self._feed.show(level, f"{text} ({', '.join(notes)})", trace, count, now)

    def _show_notices(self) -> None:
        while self._file.notices and self._feed.operator:
            self._feed.say("warning", self._file.notices.pop(0))


def _prints(handler: logging.Handler) -> bool:
    streams = (sys.stderr, sys.stdout)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams


def _utc(at_s: float | None = None) -> str:
    return utc_text(datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC))


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _error_in(arguments: object) -> BaseException | None:
    """Return the error that a message is about, as in ``log.warning("no answer: %s", error)``."""
    if isinstance(arguments, tuple):
        for one in arguments:
            if isinstance(one, BaseException):
                return one
    return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a message may be any object
        return f"a {type(value).__name__} that cannot be converted to text: {type(error).__name__}"


def _unfilled(record: logging.LogRecord) -> str:
    """Return a record's message before its arguments are filled in."""
    return record.msg if isinstance(record.msg, str) else _text(record.msg)


def _message(record: logging.LogRecord) -> str:
    message = _unfilled(record)
    if record.args:
        try:
            message = message % record.args
        except Exception as error:  # too few arguments, or one that cannot be converted to text
            message = f"{message} (its arguments do not fit: {type(error).__name__})"
    return hide(message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…")


def _plain(extra: Mapping[str, object]) -> object:
    try:
        return hide(clip(extra, MAX_EXTRA))
    except Exception as error:  # the scenario's data may be anything
        return f"cannot be written: {type(error).__name__}"
