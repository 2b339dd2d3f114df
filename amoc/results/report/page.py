"""The report of a run: one HTML page, with the verdict first, then key metrics, charts and tables.

Tables show the summary, charts the series. A warm-up is excluded from key metrics, from the tables
of timers and counters and from distributions, as it is from the verdict. Of very long lists the
page shows a part and says so; `summary.json` and the series have it all.

The series is read once: `Reading`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from amoc.base.clock import until
from amoc.metrics.histogram import Histogram
from amoc.results.report import generator_charts, latency, over_time, run_annotations, shell, tables
from amoc.results.report.charts import Chart, Group
from amoc.results.report.downsample import MAX_ROWS, downsample
from amoc.results.report.headline import Covered, cards, headline
from amoc.results.report.latency import Pair, TimerView
from amoc.results.report.rows import Row
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point
from amoc.results.steps import without
from amoc.results.store.packed import add_to
from amoc.results.summary import steady_part
from amoc.results.summary_types import RunPart, Summary
from amoc.results.warm_up import WarmUp

MAX_THRESHOLDS = 500
MAX_TIMERS = 12
"""Timers of the target with charts."""


def write(record: SavedRun, path: Path) -> None:
    """Write the report of a run to `path`, as a whole or not at all.

    Raises:
        ResourceError: It cannot be written.
    """
    shell.save(render(record), path)


def render(record: SavedRun) -> str:
    """The report of a run as a self-contained HTML page."""
    summary = record.summary
    covered = _covered(summary)
    target, built_in = latency.pairs(covered.timers)
    charted = [name for pair in (*target[:MAX_TIMERS], *built_in) for name in pair.names]
    reading = Reading(record.points, covered.warmup_s if covered.is_part else 0.0, charted)
    rows = reading.rows
    views = _views(target, rows, reading.durations, covered)
    groups = _groups(summary, rows, built_in)
    events, events_left_out = run_annotations.collect(record.journal, reading.interruptions)
    shown = [chart for group in groups.values() for chart in (*group.shown, *group.more)]
    shown += [chart for view in views for chart in view.charts]
    health = summary.get("health")
    return shell.fill(
        "report.html",
        _data(summary["run"], reading, shown, views, events),
        run=summary["run"],
        complete=record.complete,
        headline=headline(summary["run"]),
        peak=summary.get("users", {}).get("peak", 0),
        ended=until(summary["run"].get("started_at", ""), summary["run"].get("ended_at", "")),
        cards=cards(summary, covered, target),
        thresholds=list(summary.get("thresholds", ()))[:MAX_THRESHOLDS],
        judged=health is not None,
        limited=(health or {}).get("limited", False),
        findings=tables.findings(list((health or {}).get("findings", ()))),
        blocked=tables.blocked(list(summary.get("blocked", ()))),
        covered=covered,
        groups=groups,
        views=views,
        views_shown=over_time.SHOWN,
        views_left_out=over_time.left_out(len(target) - len(views), "less busy timers"),
        times=[row.t_s for row in rows],
        row_s=max((row.span_s for row in rows), default=0.0),
        downsampled=len(record.points) > MAX_ROWS,
        events=events,
        events_left_out=events_left_out,
        causes=tables.causes(summary.get("crashes", ())),
        more_causes=len(summary.get("crashes", ())) - tables.MAX_CAUSES,
        tables=_tables(summary, covered, target, built_in),
        again=shlex.join(["amoc", "replay", str(record.directory)]),
    )


class Reading:
    """What a report needs of a run's points, taken from them in one go.

    Attributes:
        rows: What charts over time are drawn from.
        interruptions: When the run was paused, and nodes late.
        began_at: When the first user could start, in seconds since 1970; None if nothing says so.
        durations: Of the charted timers, after the warm-up.
    """

    def __init__(self, points: Collection[Point], warmup_s: float, timers: Collection[str]) -> None:
        """Read `points`.

        Args:
            points: The seconds of a run.
            warmup_s: How long its warm-up was, if that is excluded.
            timers: Those that are charted.
        """
        self.interruptions = run_annotations.Interruptions()
        self.began_at: float | None = None
        self.durations = {name: Histogram() for name in timers}
        self._warmup, self._begun = WarmUp(warmup_s), False
        self.rows = downsample(
            points, timers=timers, see=self._see, fine=lambda _: not self._warmup.over
        )

    def _see(self, point: Point) -> None:
        if not self._begun:
            self._begun = True
            self.began_at = point.at - point.t_s if point.at else None
        self.interruptions.add(point)
        if self._warmup.take(point):
            return
        for name, timer in self.durations.items():
            add_to(timer, point.timers, name)


def _covered(summary: Summary) -> Covered:
    run, window = summary["run"], steady_part(summary)
    part = summary if window is None else window
    from_s, to_s = 0.0, run.get("duration_s", 0.0)
    if window is not None:
        from_s, to_s = window.get("from_s", 0.0), window.get("to_s", window.get("duration_s", 0.0))
    return Covered(
        is_part=window is not None,
        only_warmup=window is None and "window" in summary,
        from_s=from_s,
        to_s=to_s,
        warmup_s=run.get("warmup_s") or 0.0,
        steps=part.get("steps", {}),
        checks=part.get("checks", {}),
        counters=part.get("counters", {}),
        rates=part.get("counters_per_s", {}),
        timers=part.get("timers", {}),
        throttles=part.get("throttles", {}),
    )


def _views(
    target: Sequence[Pair],
    rows: Sequence[Row],
    durations: Mapping[str, Histogram],
    covered: Covered,
) -> list[TimerView]:
    return [
        latency.view(pair, f"timer{at}", rows, durations, covered.timers)
        for at, pair in enumerate(target[:MAX_TIMERS])
    ]


def _groups(summary: Summary, rows: Sequence[Row], built_in: Sequence[Pair]) -> dict[str, Group]:
    timers = [
        over_time.timer(rows, f"generator{at}", pair.name, pair.name, "")
        for at, pair in enumerate(built_in)
    ]
    title = "Charts of its timers"
    return {
        "load": over_time.load(rows, summary),
        "gauges": over_time.gauges(rows, list(summary.get("gauges", {}))),
        "throttles": over_time.throttles(rows, summary.get("throttles", {})),
        "generator": Group(
            "generator",
            "Load generator",
            [*generator_charts.workers(rows), *generator_charts.hosts(rows)],
            timers,
            title,
        ),
    }


def _data(
    run: RunPart,
    reading: Reading,
    charts: Iterable[Chart],
    views: Iterable[TimerView],
    events: Sequence[run_annotations.Annotation],
) -> dict[str, object]:
    """What the page's script draws."""
    rows = reading.rows
    last_s = rows[-1].t_s if rows else 0.0
    return {
        "began_at": reading.began_at,
        "ends_s": round(max(float(run.get("duration_s") or 0.0), last_s), 3),
        "times": [round(row.t_s, 3) for row in rows],
        "bands": [
            vars(band)
            for band in run_annotations.bands(reading.interruptions, run.get("warmup_s") or 0.0)
        ],
        "annotations": run_annotations.for_charts(events),
        "charts": {chart.key: chart.to_json() for chart in charts if not chart.empty},
        "spectra": {
            view.spectrum.key: view.spectrum.to_json() for view in views if not view.spectrum.empty
        },
    }


def _tables(
    summary: Summary, covered: Covered, target: Sequence[Pair], built_in: Sequence[Pair]
) -> dict[str, tables.Table]:
    duration_s = summary["run"].get("duration_s", 0.0)
    return {
        "messages": tables.messages(covered.counters, covered.rates),
        "requests": tables.requests(covered.steps, covered.timers),
        "failures": tables.failures(covered.steps),
        "checks": tables.checks(covered.checks),
        "timers": tables.timers(target, covered.timers, "timers"),
        "generator_timers": tables.timers(built_in, covered.timers, "generator-timers"),
        "counters": tables.counters(
            without(covered.counters, covered.steps, covered.checks), covered.rates
        ),
        "gauges": tables.gauges(summary.get("gauges", {})),
        "throttles": tables.throttles(covered.throttles),
        "workers": tables.workers(summary.get("workers", ()), duration_s),
        "settings": tables.settings(summary.get("settings", ())),
        "versions": tables.versions(summary.get("versions", {})),
    }
