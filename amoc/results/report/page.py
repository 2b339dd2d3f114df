"""The report of a run: one HTML page, with the verdict first, then key metrics, charts and tables.

Tables show the summary, charts the series. A warm-up is excluded from key metrics, from the tables
of timers and counters and from distributions, as it is from the verdict. Very long lists are cut
short, and the page says so; `summary.json` and the series are complete.

The page of a run of up to an hour contains each second, unless there would be more than
`MAX_VALUES`. For a longer run, a server can supply the seconds that a reader zooms into
(`amoc.results.report.detail`).

The series is read once: `Reading`. The page of a running run (`amoc.results.report.live`) has the
same sections and charts.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from amoc.metrics.histogram import Histogram
from amoc.results.report import content, run_annotations, shell
from amoc.results.report.charted import Charted
from amoc.results.report.detail import Shown
from amoc.results.report.downsample import MAX_ROWS, downsample
from amoc.results.report.drawing import Drawing, along
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point
from amoc.results.store.packed import add_to
from amoc.results.summary_types import Summary
from amoc.results.warm_up import WarmUp
from amoc.scenario.scenario_files import file_names

SINGLE_S = 3_600
MAX_VALUES = 500_000
"""Values in all lines of all charts: they take some 2.5 MB."""


def write(record: SavedRun, path: Path) -> None:
    """Write the report of a run to `path`, as a whole or not at all.

    Raises:
        ResourceError: It cannot be written.
    """
    shell.save(render(record), path)


def render(record: SavedRun) -> str:
    """Return the report of a run as a self-contained HTML page."""
    data, context, _ = parts(record)
    return shell.fill(
        "report.html", data, title=title(record.summary), fragments=shell.fragments(context)
    )


def title(summary: Summary) -> str:
    """Return the title of a run's page."""
    run = summary["run"]
    return f"{run.get('verdict', 'unknown')}: {file_names(str(run.get('scenario', 'a run')))}"


def parts(record: SavedRun) -> tuple[dict[str, object], dict[str, object], Shown]:
    """Return the data for the page's script, the context for its templates, and what it charts."""
    summary = record.summary
    covered = content.covered_by(summary)
    charted = Charted.of(summary, covered.timers)
    warmup_s = covered.warmup_s if covered.is_part else 0.0
    reading = Reading(record.points, warmup_s, charted)
    rows = reading.rows
    times = [row.t_s for row in rows]
    drawing = Drawing.of(rows, charted, reading.durations, covered.timers)
    events = run_annotations.collect(record.journal, reading.interruptions)
    last_s = times[-1] if times else 0.0
    said = along(summary["run"], last_s, reading.began_at, reading.interruptions, events[0])
    directory = str(record.directory)
    row_s = max((row.span_s for row in rows), default=0.0)
    context = {
        **content.texts(summary, covered, events, directory, record.complete),
        **drawing.texts(times),
        "row_s": row_s,
        "downsampled": len(record.points) > reading.max_rows,
    }
    data = {**said, **drawing.data(times), "row_s": round(row_s, 3)}
    return data, context, Shown(charted, drawing.labels)


class Reading:
    """The data that a report needs from a run's points, collected in a single pass.

    Attributes:
        rows: The rows of charts over time.
        max_rows: Their maximum number, apart from those needed for pauses and gaps.
        interruptions: When the run was paused, and when nodes were late.
        began_at: When the first user could start, in seconds since 1970; None if unknown.
        durations: The durations of the charted timers, after the warm-up.
    """

    def __init__(self, points: Collection[Point], warmup_s: float, charted: Charted) -> None:
        """Read `points`.

        Args:
            points: The seconds of a run.
            warmup_s: The length of its warm-up, if that is excluded.
            charted: The metrics that have charts.
        """
        timers = charted.durations
        single = len(points) <= SINGLE_S and len(points) * charted.lines <= MAX_VALUES
        self.max_rows = SINGLE_S if single else MAX_ROWS
        self.interruptions = run_annotations.Interruptions()
        self.began_at: float | None = None
        self.durations = {name: Histogram() for name in timers}
        self._warmup, self._begun = WarmUp(warmup_s), False
        self.rows = downsample(
            points, self.max_rows, timers, self._see, fine=lambda _: not self._warmup.over
        )

    def _see(self, point: Point) -> None:
        if not self._begun:
            self._begun = True
            self.began_at = began_at(point)
        self.interruptions.add(point)
        if self._warmup.take(point):
            return
        for name, timer in self.durations.items():
            add_to(timer, point.timers, name)


def began_at(first: Point) -> float | None:
    """Return when the first user could start, in seconds since 1970; None if unknown."""
    return first.at - first.t_s if first.at else None
