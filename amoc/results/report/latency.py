"""Timers in a report: over time, by percentile, and service time next to response time. Pure.

A timer under a throttle has a twin. `NAME` is the service time: how long the target took once the
request was sent. `NAME.response` is measured from when the request was due, and includes the slots
missed meanwhile (`amoc.metrics.coordinated_omission`). While the target stalls, few requests are
sent, so the service time has few samples of the bad moments, and the response time has all of them.
That is why neither is shown without the other.
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
from amoc.results.report.texts import figure, number
from amoc.results.report.timer_pairs import Pair
from amoc.results.step_rows import NO_VALUE
from amoc.results.summary_types import Timers

QUANTILES = {**{one.label: one.field for one in PERCENTILES}, "max": "max_s"}
FRACTIONS = tuple(1 - 10 ** -(step / 10) for step in range(3, 41))
"""From the median on, evenly spaced by rarity: each ten steps are ten times rarer."""


@dataclass(frozen=True)
class TimerView:
    """A timer, ready to be shown.

    Attributes:
        name: Its name.
        charts: Charts over time: service time, and response time if there is one.
        spectrum: The distribution of its durations.
        rows: For the count and each percentile: label, service time, response time, their ratio.
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
    """Prepare a timer for a report.

    Args:
        pair: The timer.
        key: The id of its charts in the page.
        rows: The rows of charts over time.
        steady: All durations that percentiles are computed from, by timer.
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
    """Return the charts of a timer over time; the arguments are those of `view`."""
    titles = ("service time", "response time") if pair.response else ("",)
    return [
        over_time.timer(rows, f"{key}{at}", f"{pair.name} {title}".strip(), name, key)
        for at, (name, title) in enumerate(zip(pair.names, titles, strict=True))
    ]


def spectrum(timer: Histogram) -> list[tuple[float, float]]:
    """Return percentiles as fractions with seconds, as far as there are enough samples for them."""
    count = timer.count
    fractions = [one for one in FRACTIONS if count * (1 - one) >= 1]
    found = timer.quantiles_s(*fractions)
    return [
        (round(fraction, 6), rounded(value) or 0.0)
        for fraction, value in zip(fractions, found, strict=True)
    ]


def compared(pair: Pair, timers: Timers) -> Iterator[tuple[str, str, str, str]]:
    """Yield percentile, service time, response time, and the ratio of the latter to the former."""
    service = timers[pair.name]
    response = timers[pair.response] if pair.response else {}
    yield "count", number(service["count"]), number(response.get("count")), ""
    for label, key in QUANTILES.items():
        one, other = service.get(key), response.get(key)
        times = f"× {other / one:.3g}" if one and other is not None else NO_VALUE
        yield label, figure(one, "s"), figure(other, "s"), times
