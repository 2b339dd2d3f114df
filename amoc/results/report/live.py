"""The page of a running run: the sections of a report, updated as seconds arrive.

A page has a version, which increases with each update. A client that has a version is sent the
changes since: sections whose text differs, and rows added to charts. A client whose version is
unknown or too old is sent the whole page. So no state is kept per client, and there may be any
number of them.

To load faster, a page at first has only the rows of its first charts, which its negative version
indicates; the first update adds the others.

Versions start at the time of day, so pages of the same run made by successive processes differ.

A long run is shown at once, from its minutes (`RunTotals.overview`). Its single seconds, from which
its load generator is judged, are read afterwards (`LivePage.read_on`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from amoc.base import redaction
from amoc.base.clock import now_ns
from amoc.base.json_plain import JsonObject, object_in
from amoc.metrics.histogram import Histogram
from amoc.results import summary
from amoc.results.journal_facts import JournalFacts
from amoc.results.report import content, detail, shell
from amoc.results.report.charted import Charted
from amoc.results.report.drawing import along
from amoc.results.report.event_dedup import Deduplication
from amoc.results.report.live_charts import LiveCharts
from amoc.results.report.page import began_at
from amoc.results.report.run_annotations import Annotation, Interruptions, of_events
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.results.summary_types import SettingPart, Summary

SHORT = 1_000
"""Seconds of a run that are read one by one before it is shown."""
MAX_KNOWN = 600
"""Number of versions from which a page can be updated: ten minutes' worth."""


class _Fragment(NamedTuple):
    version: int
    html: str


class _Version(NamedTuple):
    edition: int
    final: int
    """The number of its rows that do not change any more."""


class LivePage:
    """The page of one run.

    Attributes:
        version: Its current version.
        summary: The preliminary summary of the run.
        context: The latest context of templates.
        charts: Its charts.
        make_ns: How long it took to make all of them the last time.
        is_over: Whether the run has ended.
    """

    def __init__(
        self,
        name: str,
        directory: str,
        points: Collection[Point],
        journal: Iterable[JsonObject],
        version: int,
        yield_if_due: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the page of a run.

        Args:
            name: The run's name.
            directory: The run directory.
            points: Its seconds; a later one must be in here before it is added to the page.
            journal: The entries of its journal so far.
            version: A number above all versions of earlier pages of this run.
            yield_if_due: Called between parts of the work.
        """
        self._name, self._directory, self._points = name, directory, points
        self._yield_if_due = yield_if_due
        self._facts, self._events = JournalFacts(), Deduplication()
        self._rows: tuple[list[Annotation], int] = ([], 0)
        self._interruptions = Interruptions()
        self._began_at: float | None = None
        self._fragments: dict[str, _Fragment] = {}
        self._versions: OrderedDict[int, _Version] = OrderedDict()
        self.version = version
        self.charts = LiveCharts()
        self.make_ns = 0
        self.is_over = False
        self.add_entries(journal)
        facts = self._facts
        planned = facts.warmup_s, facts.stages, facts.arrivals, facts.others
        self._rest: Iterator[Point] = iter(())
        if len(points) <= SHORT:
            self._totals = RunTotals.of(points, *planned, yield_if_due, self._note)
        else:
            self._totals = RunTotals.overview(points, facts.warmup_s, yield_if_due, self._note)
            self._judged = RunTotals.planned(*planned)
            self._rest = self._judged.reading(points, yield_if_due, self._totals)
        self.summary = self._summary()
        self._make(Charted())
        self.context: dict[str, object] = {}
        self._show()

    # Events

    def add_entries(self, entries: Iterable[JsonObject]) -> None:
        """Add new entries of the run's journal."""
        for entry in entries:
            self._facts.take(entry)
            self._events.add(entry)

    def add(self, point: Point) -> None:
        """Add a new second of the run."""
        self._totals.add(point, yield_if_due=self._yield_if_due)
        self.charts.add(point)
        self._note(point)

    @property
    def read_share(self) -> float:
        """The share of the run's seconds that has been read one by one."""
        return 1.0 if self._totals.judged else self._judged.whole.points / len(self._points)

    def read_on(self, until_ns: int) -> None:
        """Read on until `until_ns` or until all is read; all points must have been added before."""
        if self._totals.judged:
            return
        for _ in self._rest:
            self._yield_if_due()
            if now_ns() > until_ns:
                return
        self._totals = self._judged

    def _note(self, point: Point) -> None:
        self._interruptions.add(point)
        if self._began_at is None:
            self._began_at = began_at(point)

    def update(
        self, may_make: bool = True, over: bool = False, final: Summary | None = None
    ) -> bool:
        """Show what was added.

        Args:
            may_make: Whether all charts may be remade, which takes longer the longer the run is.
            over: Whether the run is over.
            final: The summary that it left, in that case.

        Returns:
            Whether all charts were remade, or should have been.
        """
        self.summary = self._summary(running=not over) if final is None else final
        covered = content.covered_by(self.summary)
        fits = self.charts.update(self._durations, covered.timers)
        charted = Charted.of(self.summary, covered.timers).after(self.charts.charted)
        to_make = not fits or self.charts.is_too_long or charted.shown != self.charts.charted.shown
        if to_make and may_make:
            self._make(self.charts.charted)
        self._show()
        self.is_over = over
        return to_make

    # Contents

    @property
    def last(self) -> Point | None:
        """The newest second; None if there is none yet."""
        return self._totals.whole.last

    @property
    def scenario(self) -> JsonObject:
        """The run's scenario as in its journal; empty if an early version of amoc wrote it."""
        return object_in(self._facts.run, "scenario")

    @property
    def settings(self) -> Sequence[SettingPart]:
        """The run's settings, with their current values."""
        changed = self._facts.changed
        on_all = changed.values()
        found: list[SettingPart] = []
        for one in self.summary["settings"]:
            now = one["value"]
            if one["name"] in on_all:
                now = redaction.as_text(on_all[one["name"]])
            if apart := changed.apart(one["name"]):
                there = (f"{node}: {redaction.as_text(value)}" for node, value in apart.items())
                now = f"{now} ({', '.join(there)})"
            found.append({**one, "value": now})
        return found

    def _summary(self, running: bool = True) -> Summary:
        return summary.make(
            self._facts, self._totals, self._directory, name=self._name, running=running
        )

    @property
    def _durations(self) -> Mapping[str, Histogram]:
        covered = content.covered_by(self.summary)
        return (self._totals.window if covered.is_part else self._totals.whole).timers

    def _make(self, before: Charted) -> None:
        timers = content.covered_by(self.summary).timers
        charted = Charted.of(self.summary, timers).after(before)
        begun_ns = now_ns()
        self.charts.make(self._points, charted, self._durations, timers, self._yield_if_due)
        self.make_ns = now_ns() - begun_ns

    def _show(self) -> None:
        """Render the sections, as a new version."""
        self._rows = of_events(self._events.events, self._interruptions)
        covered = content.covered_by(self.summary)
        self.context = {
            **content.texts(self.summary, covered, self._rows, self._directory, True),
            **self.charts.drawing.texts(None),
            "read_share": self.read_share,
            "row_s": self.charts.row_s,
            "downsampled": self.charts.row_s >= 2.0,
            "detail_s": detail.MAX_S,
        }
        made = {}
        for name in content.SECTIONS:
            self._yield_if_due()
            made[name] = shell.fragment(name, self.context)
        self.version += 1  # after the last yield, so that nobody sees part of an update
        for name, html in made.items():
            self.show_fragment(name, html)
        self._versions[self.version] = _Version(self.charts.edition, self.charts.final)
        while len(self._versions) > MAX_KNOWN:
            self._versions.popitem(last=False)

    def show_fragment(self, name: str, html: str) -> None:
        """Set a part of the page to `html`."""
        there = self._fragments.get(name)
        if there is None or there.html != html:
            self._fragments[name] = _Fragment(self.version, html)

    @property
    def fragments(self) -> dict[str, Markup]:
        """The parts of the page, by name."""
        return {
            name: Markup(one.html)  # noqa: S704 - made by templates
            for name, one in self._fragments.items()
        }

    def data(self) -> dict[str, object]:
        """Return all data for the page's script."""
        return {
            **self._along(),
            **self.charts.drawing.data(self.charts.times),
            "version": self.version,
        }

    def first_data(self) -> dict[str, object]:
        """As `data`, with the rows of the first charts only, and a negative version."""
        groups = self.charts.drawing.groups
        first = {chart.key for name in ("load", "gauges") for chart in groups[name].shown}
        data: JsonObject = self.data()
        for key, chart in data["charts"].items():
            if key not in first:
                chart["lines"] = [{**line, "values": []} for line in chart["lines"]]
        return {**data, "version": -self.version}

    def since(self, version: int) -> dict[str, object]:
        """Return the changes since a version of the page, for its script.

        Args:
            version: If negative, the page has the rows of its first charts only.
        """
        seen = self._versions.get(abs(version))
        known = abs(version) if seen is not None else 0
        message: dict[str, object] = {
            "version": self.version,
            "over": self.is_over,
            "fragments": {
                name: one.html for name, one in self._fragments.items() if one.version > known
            },
        }
        if seen is None or seen.edition != self.charts.edition:
            message["data"] = self.data()
        else:
            message |= {**self._along(), **self.charts.since(seen.final if version > 0 else 0)}
        return message

    @property
    def shown(self) -> detail.Shown:
        """The contents of its charts."""
        return detail.Shown(self.charts.charted, self.charts.drawing.labels)

    def _along(self) -> dict[str, object]:
        last_s = self.charts.times[-1] if self.charts.times else 0.0
        run = self.summary["run"]
        row_s = {"row_s": round(self.charts.row_s, 3)}
        return row_s | along(run, last_s, self._began_at, self._interruptions, self._rows[0])
