"""The page of a run that goes on, made once for all who look at it.

A run that the server starts is followed from its beginning, so that its page is there at once
however late somebody looks; another one while somebody looks, and for some minutes more. Then all
that was kept for it is let go.

The page is made each second only while somebody looks. Making it may take a tenth of the time at
the most: a run with very many metrics is shown less often than each second.
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
from amoc.results.journal_tail import JournalTail
from amoc.results.report.live import LivePage
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from amoc.service import sse
from amoc.service.dashboard.parts import LOG_LINES
from amoc.service.log_tail import LogTail

LOOK_S = 0.2
LINGER_S = 600.0
"""How long a run is followed for nobody; to begin anew takes the longer the longer it is."""
LOOKED_S = 10.0
"""How long the page is made each second for nobody: for lists, and for clients that come back."""
SELDOM_S = 60.0
"""How often it is made when nobody looks."""
READY_S = 120.0
READ_S = 0.8
"""Of a long run that is read on, how often it is shown."""
SILENT_S = 1.5
"""A run that has written no second for so long is asked whether it goes on."""
SHARE = 10
"""One part in so many of the time is spent on a page, at the most."""
MAKE_SHARE = 20
"""The same for making all its charts anew."""
HOLD_NS = 20 * MS_NS
"""How long the server's loop may be held: each turn of it may cost much on a busy host."""
AT_ONCE = 60
"""Seconds that are read at once."""

_log = logging.getLogger(__name__)

AddParts: TypeAlias = Callable[[LivePage, str, Sequence[JsonObject] | None], None]
"""Adds the dashboard's own parts to a version of the page of the run with an id; gets the newest
lines of its logs, or None if they are as they were."""


class Watched:
    """A run that somebody looks at.

    Attributes:
        page: What it shows; None as long as it is made for the first time.
        to_the_end: Whether it is followed however long nobody looks.
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
            directory: Where it is.
            goes_on: Whether it may still write something.
            on_end: Called when it is not followed any more.
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

    # For those who look

    def ready(self) -> LivePage | None:
        """The page, once it is there; None if there is nothing to follow."""
        self._last_looked_ns = now_ns()
        self._ready.wait(READY_S)
        self._last_looked_ns = now_ns()
        return self.page

    def looked_at(self) -> LivePage | None:
        """The page as it is; None as long as it is made for the first time."""
        self._last_looked_ns = now_ns()
        return self.page

    def events(self, version: int, controls: bool) -> Iterator[str]:
        """What changes after a version of the page, until the run is over.

        Args:
            version: What the client has seen.
            controls: Whether it may see parts with which the run is changed.
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
        """What a client gets; many have seen the same version."""
        found = self._sent.get((version, controls))
        if found is None:
            message = page.since(version)
            if not controls:
                parts: JsonObject = message["fragments"]  # type: ignore[assignment]
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
        self._log.look()
        self._add(page, self._directory.id, self._log.lines())
        self.page = page
        self._ready.set()
        news = False
        while not page.is_over:
            nobody_s = 0.0 if self._viewers else (now_ns() - self._last_looked_ns) / S_NS
            if nobody_s > LINGER_S and not self.to_the_end:
                return
            # Looked at before the seconds: what a run writes last must not be missed.
            silent = now_ns() - self._heard_ns > SILENT_S * S_NS
            over = self._directory.summary.exists() or (
                silent and not self._goes_on(self._directory)
            )
            with suppress(ResourceError):  # deleted just now
                series.grow()
            spent_ns = now_ns()
            self._yield_if_due.begin()
            entries = journal.new()
            page.add_entries(entries)
            points = series.after(seen, AT_ONCE)
            for point in points:
                page.add(point)
                self._yield_if_due()
            seen += len(points)
            if points:
                self._heard_ns = now_ns()
            if len(points) == AT_ONCE:
                continue  # far behind
            partial = page.read_share < 1.0
            page.read_on(spent_ns + int(READ_S * S_NS))
            over = over and page.read_share == 1.0
            news = news or partial or bool(points or entries)
            wanted = nobody_s < LOOKED_S or now_ns() - self._updated_ns > SELDOM_S * S_NS
            if over or (news and wanted):
                self._update(page, over)
                news = False
            spent_ns = 0 if partial else now_ns() - spent_ns
            gevent.sleep(max(LOOK_S, (SHARE - 1) * spent_ns / S_NS))

    def _series(self) -> StoredSeries | None:
        """The run's seconds; None if there will be none."""
        while not self._directory.series.exists():
            if not self._goes_on(self._directory):
                return None
            gevent.sleep(LOOK_S)
        if self._directory.series.stat().st_size > numpy_loading.LARGE_BYTES:
            numpy_loading.load_beside()
        return StoredSeries(self._directory.series)

    def _update(self, page: LivePage, over: bool) -> None:
        begun_ns = self._updated_ns = now_ns()
        may_make = over or begun_ns - self._made_ns > MAKE_SHARE * page.make_ns
        final = summary_file.read(self._directory.summary) if over else None
        edition = page.charts.edition
        lines = self._log.lines() if self._log.look() else None
        page.update(may_make, over, final)
        if page.charts.edition != edition:
            self._made_ns = now_ns()
        self._add(page, self._directory.id, lines)
        self._sent.clear()
        news, self._news = self._news, Event()
        news.set()
