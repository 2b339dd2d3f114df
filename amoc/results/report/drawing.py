"""All charts of a report, made from its rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from amoc.metrics.histogram import Histogram
from amoc.results.report import generator_charts, latency, over_time, run_annotations
from amoc.results.report.charted import SHOWN, Charted
from amoc.results.report.charts import Chart, Group, Labels
from amoc.results.report.latency import TimerView
from amoc.results.report.rows import Row
from amoc.results.report.run_annotations import Annotation, Interruptions
from amoc.results.summary_types import RunPart, Timers


@dataclass(frozen=True)
class Drawing:
    """The charts of a report.

    Attributes:
        groups: Charts over time, by subject.
        views: The timers of the target.
        timers_left_out: A sentence on those without charts.
    """

    groups: Mapping[str, Group]
    views: Sequence[TimerView]
    timers_left_out: str = ""

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        charted: Charted,
        durations: Mapping[str, Histogram],
        timers: Timers,
        keep: Labels | None = None,
    ) -> Drawing:
        """Make the charts of `rows`.

        Args:
            rows: The rows of charts over time.
            charted: The metrics that have charts.
            durations: All durations that percentiles are computed from, by timer.
            timers: The timers' figures, as in the summary.
            keep: Lines that charts must have, whatever is in `rows`.
        """
        target, _ = charted.pairs
        groups = groups_of(rows, charted, keep or {})
        views = [
            latency.view(pair, f"timer{at}", rows, durations, timers)
            for at, pair in enumerate(target)
        ]
        left_out = over_time.left_out(len(charted.timers.others), "less busy timers")
        return cls(groups, views, left_out)

    @property
    def labels(self) -> Labels:
        """The lines of all charts over time."""
        return {one.key: [line.name for line in one.lines] for one in self.all_charts}

    @property
    def charts(self) -> Iterator[Chart]:
        """All charts over time that are not empty."""
        return (one for one in self.all_charts if not one.empty)

    @property
    def all_charts(self) -> Iterator[Chart]:
        """All charts over time."""
        for group in self.groups.values():
            yield from (*group.shown, *group.more)
        for view in self.views:
            yield from view.charts

    def with_timers(self, newer: Drawing) -> Drawing:
        """Return the same charts, with the tables and distributions of timers of a newer one."""
        views = {view.name: view for view in newer.views}
        return replace(
            self,
            views=[
                replace(view, rows=views[view.name].rows, spectrum=views[view.name].spectrum)
                for view in self.views
            ],
        )

    def texts(self, times: Sequence[float] | None) -> dict[str, object]:
        """Return the context for the templates.

        Args:
            times: The times of the rows; None if the page's script is to describe the charts.
        """
        return {
            "groups": self.groups,
            "views": self.views,
            "views_shown": SHOWN,
            "views_left_out": self.timers_left_out,
            "times": times,
        }

    def spectra(self) -> dict[str, object]:
        """Return the distributions of durations, for the page's script."""
        return {
            view.spectrum.key: view.spectrum.to_json()
            for view in self.views
            if not view.spectrum.empty
        }

    def data(self, times: Sequence[float]) -> dict[str, object]:
        """Return what the page's script draws.

        Args:
            times: The times of the rows.
        """
        return {
            "times": [round(one, 3) for one in times],
            "charts": {chart.key: chart.to_json() for chart in self.charts},
            "spectra": self.spectra(),
        }


def groups_of(rows: Sequence[Row], charted: Charted, keep: Labels) -> dict[str, Group]:
    """Return the charts over time by subject, without those of the target's timers.

    The arguments are those of `Drawing.of`.
    """
    _, built_in = charted.pairs
    own = [
        over_time.timer(rows, f"generator{at}", pair.name, pair.name, "")
        for at, pair in enumerate(built_in)
    ]
    generator = [*generator_charts.workers(rows, keep), *generator_charts.hosts(rows)]
    return {
        "load": over_time.load(rows, charted, keep),
        "gauges": over_time.gauges(rows, charted.gauges),
        "throttles": over_time.throttles(rows, charted.throttles, keep),
        "generator": Group("generator", "Load generator", generator, own, "Charts of its timers"),
    }


def charts_of(rows: Sequence[Row], charted: Charted, keep: Labels) -> Iterator[Chart]:
    """Iterate over all charts over time; the arguments are those of `Drawing.of`."""
    for group in groups_of(rows, charted, keep).values():
        yield from (*group.shown, *group.more)
    for at, pair in enumerate(charted.pairs[0]):
        yield from latency.charts(pair, f"timer{at}", rows)


def along(
    run: RunPart,
    last_s: float,
    began_at: float | None,
    interruptions: Interruptions,
    events: Sequence[Annotation],
) -> dict[str, object]:
    """Return what the page's script draws along the time axis of all charts.

    Args:
        run: The first part of the summary.
        last_s: The end of the last row.
        began_at: When the first user could start, in seconds since 1970; None if unknown.
        interruptions: When the run was paused, and when nodes were late.
        events: The rows of the table of events.
    """
    bands = run_annotations.bands(interruptions, run.get("warmup_s") or 0.0)
    return {
        "began_at": began_at,
        "ends_s": round(max(float(run.get("duration_s") or 0.0), last_s), 3),
        "bands": [vars(band) for band in bands],
        "annotations": run_annotations.for_charts(events),
    }
