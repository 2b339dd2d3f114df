"""The values of a chart's line: one for each row, or None if it is unknown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite

from amoc.metrics.timer_statistics import FRACTIONS
from amoc.results.counts import Count
from amoc.results.report.rows import Row
from amoc.results.series import Point, ThrottlePoint

Column = list[float | None]

DIGITS = 4
"""Significant digits of a value in the page."""


def rounded(value: float | None) -> float | None:
    """Round `value` to what a chart needs; None if it is not finite."""
    if value is None or not isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short


def throttle_level(
    name: str, of: Callable[[ThrottlePoint], float | None]
) -> Callable[[Point], float | None]:
    """Return a function that gives a throttle's level in a point, or None without that throttle."""
    return lambda point: of(one) if (one := point.throttles.get(name)) else None


def rates(rows: Iterable[Row], count: Count) -> Column:
    """Return rates per second in rows in which users were active; `count` must be additive."""
    return [
        rounded(count(row.counted) / row.span_s) if row.active and row.span_s else None
        for row in rows
    ]


def highest(rows: Iterable[Row], level: Callable[[Point], float | None]) -> Column:
    """Return the maximum of a level in each row; `level` is None if a point does not have it."""
    return [rounded(level(row.highest)) if row.seconds else None for row in rows]


def latest(rows: Iterable[Row], level: Callable[[Point], float | None]) -> Column:
    """Return the level at the end of each row."""
    return [rounded(level(row.last)) if row.seconds else None for row in rows]


def growth(rows: Iterable[Row], total: Callable[[Point], float]) -> Column:
    """Return the growth per second of a total that points give since the beginning of the run.

    Growth during a gap is spread over the gap and the row that follows.
    """
    grown: Column = []
    before, before_s = 0.0, 0.0
    for row in rows:
        if not row.seconds:
            grown.append(None)
            continue
        now, now_s = total(row.last), row.last.t_s
        passed_s = now_s - before_s if before_s else row.span_s
        grows = row.active and passed_s > 0
        grown.append(rounded(max(0.0, now - before) / passed_s) if grows else None)
        before, before_s = now, now_s
    return grown


def quantiles(rows: Iterable[Row], timer: str, *fractions: float) -> list[Column]:
    """Return a timer's quantiles in seconds for each row, and its maximum as the last column.

    Args:
        rows: Rows that have durations of `timer`.
        timer: Its name.
        fractions: Some of `amoc.metrics.timer_statistics.FRACTIONS`.
    """
    wanted = [*map(FRACTIONS.index, fractions), len(FRACTIONS)]
    columns: list[Column] = [[] for _ in wanted]
    for row in rows:
        found = row.durations.get(timer)
        for column, at in zip(columns, wanted, strict=True):
            column.append(rounded(found[at]) if found is not None else None)
    return columns
