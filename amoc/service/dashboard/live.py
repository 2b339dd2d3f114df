"""The page of a running run, made once for all viewers.

Runs that the server starts are followed from their start, so that their pages are available at
once. Other runs are followed while there are viewers, and for some minutes after. Then all their
data is released.

The page is updated every second only while there are viewers. Updates may take at most a tenth of
the time, so pages of runs with very many metrics are updated less often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

import gevent
from gevent.event import Event

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import AmocError, ResourceError
from amoc.base.json_plain import JsonObject
from amoc.base.periodic_yield import PeriodicYield
from amoc.metrics import numpy_loading
from amoc.results import summary_file
from amoc.results.journal import JournalTail
from amoc.results.report.live import LivePage
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from amoc.service import sse
from amoc.service.dashboard.parts import LOG_LINES
from amoc.service.log_tail import LogTail

POLL_S = 0.2
LINGER_S = 600.0
"""How long to follow a run without viewers. Starting again takes longer the longer the run is."""
LOOKED_S = 10.0
"""How long to update every second without viewers, for lists and for clients that reconnect."""
SELDOM_S = 60.0
"""Interval of updates without viewers."""
READY_S = 120.0
READ_S = 0.8
"""Interval of updates while the seconds of a long run are being read."""
STRETCH_NS = 50 * MS_NS
"""How long to read at a time before it is checked whether anybody has just looked."""
DRAW_NS = 500 * MS_NS
"""How long after a look the host's cores are left to the browser, which may be on the same host."""
SILENT_S = 1.5
"""A run without a new second for this long is asked whether it is still running."""
SHARE = 10
"""Updates of the page may take at most one part in this many of the time."""
MAKE_SHARE = 20
"""The same for complete redraws of all charts."""
HOLD_NS = 20 * MS_NS
"""How long to occupy the event loop at a time; a switch may be costly on a busy host."""
BATCH_SECONDS = 60
"""Seconds of data to read at a time."""

_log = logging.getLogger(__name__)

AddParts: TypeAlias = Callable[[LivePage, str, Sequence[JsonObject] | None], None]
"""Adds the dashboard's own parts to a version of the page of a run, given its id and the newest
lines of its logs, or None if these have not changed."""


def read_between_looks(page: LivePage, until_ns: int, looked_ns: Callable[[], int]) -> None:
    """Read on until `until_ns`, but pause while a browser draws what it was just given.

    Args:
        page: The page of a long run; it progresses with each call.
        until_ns: When to return.
        looked_ns: Returns when anybody looked last.
    """
    page.read_on(min(until_ns, now_ns() + STRETCH_NS))
    while page.read_share < 1.0 and (at_ns := now_ns()) < until_ns:
        drawn_ns = looked_ns() + DRAW_NS
        if at_ns < drawn_ns:
            gevent.sleep((min(drawn_ns, until_ns) - at_ns) / S_NS)
        else:
            page.read_on(min(until_ns, at_ns + STRETCH_NS))


class Watched:
    """A run with a page that viewers may watch.

    Attributes:
        page: Its page; None until it has been made for the first time.
        to_the_end: Whether to follow it to its end even without viewers.
    """

    def __init__(
        self,
        directory: RunDirectory,
        goes_on: Callable[[RunDirectory], bool],
        on_end: Callable[[], None],
        add: AddParts,
    ) -> None:
        """Follow a run.

        Args:
            directory: Directory of the run.
            goes_on: Returns whether it may still write data.
            on_end: Called when it is no longer followed.
            add: Called for each version of the page.
        """
        self.page: LivePage | None = None
        self.to_the_end = False
        self._directory, self._goes_on = directory, goes_on
        self._add = add
        self._on_end = on_end
        self._yield_if_due = PeriodicYield(HOLD_NS)
        self._log = LogTail(directory.logs, LOG_LINES, self._yield_if_due)
        self._ready, self._news = Event(), Event()
        self._viewers = 0
        self._last_looked_ns = now_ns()
        self._sent: dict[tuple[int, bool], tuple[int, str]] = {}
        self._made_ns, self._updated_ns = 0, 0
        self._heard_ns = 0
        self._greenlet = gevent.spawn(self._run)

    # For viewers

    def ready(self) -> LivePage | None:
        """Wait for the page, and return it; None if there is nothing to follow."""
        self._last_looked_ns = now_ns()
        self._ready.wait(READY_S)
        self._last_looked_ns = now_ns()
        return self.page

    def looked_at(self) -> LivePage | None:
        """Return the current page; None until it has been made for the first time."""
        self._last_looked_ns = now_ns()
        return self.page

    def events(self, version: int, controls: bool) -> Iterator[str]:
        """Yield the changes since a version of the page, until the run ends.

        Args:
            version: The version that the client has.
            controls: Whether the client may see the controls.
        """
        self._viewers += 1
        try:
            yield f"retry: {sse.RETRY_MS}\n\n"
            page = self.ready()
            while page is not None:
                news = self._news
                if version != page.version:
                    version, text = self._message(page, version, controls)
                    yield text
                if page.is_over or self._greenlet.dead:
                    return
                if not news.wait(sse.HEARTBEAT_S):
                    yield sse.HEARTBEAT
        finally:
            self._viewers -= 1
            self._last_looked_ns = now_ns()

    def _message(self, page: LivePage, version: int, controls: bool) -> tuple[int, str]:
        """Return the message for a client, cached as many clients have the same version."""
        found = self._sent.get((version, controls))
        if found is None:
            message = page.since(version)
            if not controls:
                parts = message["fragments"]
                assert isinstance(parts, dict)
                message["fragments"] = {
                    name: html for name, html in parts.items() if name != "controls"
                }
            found = page.version, sse.event("update", message, page.version)
            self._sent[version, controls] = found
        return found

    # Following

    def _run(self) -> None:
        try:
            self._follow()
        except (AmocError, OSError) as error:
            if self._directory.path.exists():
                _log.warning("run %s cannot be shown: %s", self._directory.id, error)
        finally:
            self._ready.set()
            self._news.set()
            self._on_end()

    def _follow(self) -> None:
        journal = JournalTail(self._directory.journal)
        series = self._series()
        if series is None:
            return
        self._yield_if_due.begin()
        page = LivePage(
            self._directory.id,
            str(self._directory.path),
            series,
            journal.new(),
            int(time.time()),
            self._yield_if_due,
        )
        seen = len(series)
        self._log.read_new()
        self._add(page, self._directory.id, self._log.lines())
        self.page = page
        self._ready.set()
        news = False
        while not page.is_over:
            nobody_s = 0.0 if self._viewers else (now_ns() - self._last_looked_ns) / S_NS
            if nobody_s > LINGER_S and not self.to_the_end:
                return
            # Checked before the seconds are read, so as not to miss the run's last ones.
            silent = now_ns() - self._heard_ns > SILENT_S * S_NS
            over = self._directory.summary.exists() or (
                silent and not self._goes_on(self._directory)
            )
            with suppress(ResourceError):  # it has just been deleted
                series.grow()
            spent_ns = now_ns()
            self._yield_if_due.begin()
            entries = journal.new()
            page.add_entries(entries)
            points = series.after(seen, BATCH_SECONDS)
            for point in points:
                page.add(point)
                self._yield_if_due()
            seen += len(points)
            if points:
                self._heard_ns = now_ns()
            if len(points) == BATCH_SECONDS:
                continue  # there is much more to read
            partial = page.read_share < 1.0
            read_between_looks(page, spent_ns + int(READ_S * S_NS), lambda: self._last_looked_ns)
            over = over and page.read_share == 1.0
            news = news or partial or bool(points or entries)
            wanted = nobody_s < LOOKED_S or now_ns() - self._updated_ns > SELDOM_S * S_NS
            if over or (news and wanted):
                self._update(page, over)
                news = False
            spent_ns = 0 if partial else now_ns() - spent_ns
            gevent.sleep(max(POLL_S, (SHARE - 1) * spent_ns / S_NS))

    def _series(self) -> StoredSeries | None:
        """Return the seconds of the run; None if there will be none."""
        while not self._directory.series.exists():
            if not self._goes_on(self._directory):
                return None
            gevent.sleep(POLL_S)
        if self._directory.series.stat().st_size > numpy_loading.LARGE_BYTES:
            numpy_loading.load_beside()
        return StoredSeries(self._directory.series)

    def _update(self, page: LivePage, over: bool) -> None:
        begun_ns = self._updated_ns = now_ns()
        may_make = over or begun_ns - self._made_ns > MAKE_SHARE * page.make_ns
        final = summary_file.read(self._directory.summary) if over else None
        edition = page.charts.edition
        lines = self._log.lines() if self._log.read_new() else None
        page.update(may_make, over, final)
        if page.charts.edition != edition:
            self._made_ns = now_ns()
        self._add(page, self._directory.id, lines)
        self._sent.clear()
        news, self._news = self._news, Event()
        news.set()
