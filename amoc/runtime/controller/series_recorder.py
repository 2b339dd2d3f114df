"""Writes each second of a run in pieces, so that the controller's event loop keeps running."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent

from amoc.base.clock import MS_NS, now_ns
from amoc.base.periodic_yield import PeriodicYield
from amoc.results.series import Point
from amoc.results.store.writer import SeriesWriter

AT_ONCE_NS = 2 * MS_NS
"""How long a second is written at once: a greenlet takes longer than most seconds."""
MAX_WAITING = 5
"""Most seconds that wait to be written; beyond that, all are written at once."""


class SeriesRecorder:
    """Writes the seconds of a run to its series."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        """Create a new file.

        Args:
            path: The file.
            warn: Called once if the file cannot be written.

        Raises:
            ResourceError: The file cannot be created.
        """
        self._writer = SeriesWriter(path, warn)
        self._waiting: deque[Point] = deque()
        self._work: Iterator[None] = iter(())
        self._busy = False

    @property
    def records(self) -> int:
        """How many records should have been written, once nothing waits any more."""
        self.finish()
        return self._writer.records

    @property
    def missing(self) -> str:
        """What is missing in the file, and why; empty if nothing is."""
        self.finish()
        return self._writer.missing

    def take(self, point: Point) -> None:
        """Write a second soon."""
        self._waiting.append(point)
        if len(self._waiting) > MAX_WAITING:
            self.finish()
        elif not self._busy:
            self._busy = True
            self._work = self._pieces()
            ends_ns = now_ns() + AT_ONCE_NS
            for _ in self._work:
                if now_ns() >= ends_ns:
                    gevent.spawn(self._work_off)
                    break

    def _work_off(self) -> None:
        yield_if_due = PeriodicYield()
        for _ in self._work:
            yield_if_due()

    def _pieces(self) -> Iterator[None]:
        while self._waiting:
            yield from self._writer.pieces(self._waiting.popleft())
        self._busy = False

    def finish(self) -> None:
        """Write at once what waits."""
        for _ in self._work:
            pass
        for _ in self._pieces():  # if an error has ended the work
            pass

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.finish()
        self._writer.close()
