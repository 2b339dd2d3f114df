"""Where log lines go: into memory while the run has no directory yet, then into a file.

A file is opened by the process that writes it, after its fork, to append: a worker that takes the
place of a lost one goes on with its file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amoc.base.clock import now_ns
from amoc.base.errors import AmocError
from amoc.base.json_lines import LineFile
from amoc.base.text import counted
from amoc.runtime.logs.size_limit import MOST, PER_S, Allowance

MAX_KEPT = 1_000
"""Lines that are kept in memory before there is a file."""

Entry = Mapping[str, Any]


class LogFile:
    """Takes the lines of one process."""

    def __init__(self, remark: Callable[[str], Entry], warn: Callable[[str], None]) -> None:
        """Keep lines in memory.

        Args:
            remark: Makes a line of what there is to say about the log itself.
            warn: Takes what the operator should know of it, a line at a time.
        """
        self._remark = remark
        self._warn = warn
        self._file: LineFile | None = None
        self._allowance = Allowance()
        self._kept: list[tuple[int, Entry]] | None = []
        self._not_kept = 0

    def open(self, path: Path | None) -> None:
        """Write what was kept, and what will come, to `path`; None means nowhere."""
        kept, self._kept = self._kept or [], None
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = LineFile(path, "log", self._warn)
        except (OSError, AmocError) as error:
            self._warn(f"{error}; the run goes on without it")
            return
        self._allowance = Allowance(self._file.size)
        for level, entry in kept:
            self.write(level, entry)
        if self._not_kept:
            text = f"{counted(self._not_kept, 'line')} left out: too many before there was a file"
            self.write(logging.WARNING, self._remark(text))

    def write(self, level: int, entry: Entry) -> None:
        """Write a line at `level`, if there is room for it."""
        if self._kept is not None:
            if len(self._kept) < MAX_KEPT:
                self._kept.append((level, entry))
            else:
                self._not_kept += 1
        elif self._file is not None and self._allowance.admits(level, now_ns()):
            self._append(entry)

    def _append(self, entry: Entry) -> None:
        assert self._file is not None
        before, was_full = self._file.size, self._allowance.full
        self._file.append(entry)
        self._allowance.charge(self._file.size - before)
        if self._allowance.full and not was_full:
            self._warn(
                f"{self._file.name} has {MOST >> 20} MiB; only warnings and errors are added to it"
                " from now on"
            )

    def tick(self) -> None:
        """Say how many lines were left out, if any were and it was not said yet."""
        if self._file is not None and (left_out := self._allowance.left_out()):
            limit = f"{MOST >> 20} MiB" if self._allowance.full else f"{PER_S >> 20} MiB a second"
            text = f"{counted(left_out, 'line')} left out: a log has at most {limit}"
            self._append(self._remark(text))

    def close(self) -> None:
        """Write no more."""
        self.tick()
        self.drop()

    def drop(self) -> None:
        """Write no more, nor what there is still to say."""
        if self._file is not None:
            self._file.close()
        self._file = self._kept = None
