"""The destination of log lines: memory until the run has a directory, then a file.

A file is opened for appending by the process that writes it, after its fork: a worker that replaces
a lost one continues its file. Its size is limited, because a log must not fill the disk during a
run. Each dropped line is counted, and the count is logged.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from amoc.base.errors import AmocError
from amoc.base.json_lines import LineFile
from amoc.base.text import counted

MAX_KEPT = 1_000
"""Most lines kept in memory before there is a file."""
MAX_BYTES = 64 << 20
"""Most bytes in a file."""
MAX_WARNING_BYTES = MAX_BYTES + (16 << 20)
"""Most bytes in a file; the part above `MAX_BYTES` is reserved for warnings and errors."""

Entry = Mapping[str, object]


class LogFile:
    """Takes the lines of one process, from any of its threads.

    Attributes:
        notices: Messages to the operator about the log itself; removed when shown.
    """

    def __init__(self, remark: Callable[[str], Entry]) -> None:
        """Keep lines in memory; `remark` turns a remark about the log itself into a line."""
        self.notices: list[str] = []
        self._remark = remark
        self._pending: deque[tuple[int, Entry, int]] = deque()
        self._opened = False
        self._file: LineFile | None = None
        self._full = False
        self._left_out: Counter[str] = Counter()
        self._lock = threading.RLock()  # held only while counting, never while writing

    def open(self, path: Path | None) -> None:
        """Write kept and future lines to `path`; None drops them."""
        if path is not None:
            try:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                self._file = LineFile(path, "log", self.notices.append)
            except (OSError, AmocError) as error:
                self.notices.append(f"{error}; the run continues without it")
        self._opened = True
        self._write_pending()
        self.tick()

    def write(self, level: int, entry: Entry, count: int = 1) -> None:
        """Write a line at `level` that stands for `count` lines, if there is room for it."""
        if not self._opened and len(self._pending) >= MAX_KEPT:
            self.leave_out("too many before the log file was open", count)
            return
        # `_opened` is checked afterwards, so that no line stays behind.
        self._pending.append((level, entry, count))
        if self._opened:
            self._write_pending()

    def _write_pending(self) -> None:
        while self._pending:
            try:
                level, entry, count = self._pending.popleft()
            except IndexError:  # another thread was faster
                return
            if self._file is not None:
                self._append(self._file, level, entry, count)

    def _append(self, file: LineFile, level: int, entry: Entry, count: int) -> None:
        if file.size >= (MAX_WARNING_BYTES if level >= logging.WARNING else MAX_BYTES):
            self.leave_out(f"a log has at most {MAX_BYTES >> 20} MiB", count)
        elif not file.write(entry):
            self.leave_out("they could not be written to the disk", count)
        elif file.size >= MAX_BYTES and not self._full:
            self._full = True
            self.notices.append(
                f"{file.name} has {MAX_BYTES >> 20} MiB; only warnings and errors are added to it"
                " from now on"
            )

    @property
    def has_left_out(self) -> bool:
        """Whether lines were dropped that are not logged yet."""
        return bool(self._left_out)

    def leave_out(self, why: str, count: int = 1) -> None:
        """Count lines that are dropped for the reason `why`."""
        with self._lock:
            self._left_out[why] += count

    def tick(self) -> None:
        """Log how many lines were dropped since the last such line."""
        if self._left_out and self._file is not None and self._file.size < MAX_WARNING_BYTES:
            self._write_left_out(self._file)

    def _write_left_out(self, file: LineFile) -> None:
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
        for why, count in left_out.items():
            if not file.write(self._remark(f"{counted(count, 'line')} left out: {why}")):
                self.leave_out(why, count)

    def close(self) -> None:
        """Log the dropped lines, and write no more."""
        if self._file is not None:
            self._write_left_out(self._file)
        self.drop()

    def drop(self) -> None:
        """Write no more, not even the dropped lines."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._opened = True
        self._pending.clear()
