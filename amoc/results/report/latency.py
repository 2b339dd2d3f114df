"""Timers as a report shows them: over time, by how rare, and service beside response time. Pure.

A timer under a throttle has a twin. `NAME` is how long the target took once it was asked, the
service time. `NAME.response` counts from the moment at which it should have been asked, and holds
the turns that were missed meanwhile (`amoc.metrics.coordinated_omission`). While the target stalls
few ask it, so the service time has few of the bad moments and the response time has them all. That
is why one is never shown without the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import PERCENTILES
from amoc.results.report import over_time
from amoc.results.report.charts import Chart, Spectrum
from amoc.results.report.columns import rounded
from amoc.results.report.rows import Row
from amoc.results.report.texts import NO_VALUE, figure, number
from amoc.results.report.timer_pairs import Pair
from amoc.results.summary_types import Timers

QUANTILES = {**{one.label: one.field for one in PERCENTILES}, "max": "max_s"}
FRACTIONS = tuple(1 - 10 ** -(step / 10) for step in range(3, 41))
"""From the median on, evenly by how rare: ten steps make it ten times rarer."""


@dataclass(frozen=True)
class TimerView:
    """A timer, ready to be shown.

    Attributes:
        name: What it is called.
        charts: Over time: service time, and response time where there is one.
        spectrum: How they are distributed.
        rows: The count or a percentile, service time, response time, how many times longer.
        twin: Whether there is a response time.
    """

    name: str
    charts: list[Chart]
    spectrum: Spectrum
    rows: list[tuple[str, str, str, str]]
    twin: bool


def view(
    pair: Pair, key: str, rows: Sequence[Row], steady: Mapping[str, Histogram], timers: Timers
) -> TimerView:
    """A timer for a report.

    Args:
        pair: Which.
        key: What the page calls its charts.
        rows: What charts over time are drawn from.
        steady: All durations that percentiles are about, by timer.
        timers: The timers' figures for the table, as in the summary.
    """
    labels = ("service time", "response time") if pair.response else (pair.name,)
    lines = {
        label: spectrum(steady.get(name, Histogram()))
        for label, name in zip(labels, pair.names, strict=True)
    }
    return TimerView(
        name=pair.name,
        charts=charts(pair, key, rows),
        spectrum=Spectrum(f"{key}spectrum", f"{pair.name} by percentile", lines),
        rows=list(compared(pair, timers)),
        twin=pair.response is not None,
    )


def charts(pair: Pair, key: str, rows: Sequence[Row]) -> list[Chart]:
    """A timer over time; arguments are those of `view`."""
    titles = ("service time", "response time") if pair.response else ("",)
    return [
        over_time.timer(rows, f"{key}{at}", f"{pair.name} {title}".strip(), name, key)
        for at, (name, title) in enumerate(zip(pair.names, titles, strict=True))
    ]


def spectrum(timer: Histogram) -> list[tuple[float, float]]:
    """Percentiles as fractions with seconds, as far as there are enough durations for them."""
    count = timer.count
    fractions = [one for one in FRACTIONS if count * (1 - one) >= 1]
    found = timer.quantiles_s(*fractions)
    return [
        (round(fraction, 6), rounded(value) or 0.0)
        for fraction, value in zip(fractions, found, strict=True)
    ]


def compared(pair: Pair, timers: Timers) -> Iterator[tuple[str, str, str, str]]:
    """Percentile, service time, response time, and how many times longer that is."""
    service = timers[pair.name]
    response = timers[pair.response] if pair.response else {}
    yield "count", number(service["count"]), number(response.get("count")), ""
    for label, key in QUANTILES.items():
        one, other = service.get(key), response.get(key)
        times = f"× {other / one:.3g}" if one and other is not None else NO_VALUE
        yield label, figure(one, "s"), figure(other, "s"), times
