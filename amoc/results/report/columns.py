"""What a chart draws: a value for each row, or None where nothing is known. Pure."""

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
    """`value` as short as a chart needs it; None where it is not finite."""
    if value is None or not isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short


def throttle_level(
    name: str, of: Callable[[ThrottlePoint], float | None]
) -> Callable[[Point], float | None]:
    """A level of a throttle in a point, None where there is no such throttle."""
    return lambda point: of(one) if (one := point.throttles.get(name)) else None


def rates(rows: Iterable[Row], count: Count) -> Column:
    """How often a second something happened, where it could happen; `count` of a sum is the sum."""
    return [
        rounded(count(row.counted) / row.span_s) if row.active and row.span_s else None
        for row in rows
    ]


def highest(rows: Iterable[Row], level: Callable[[Point], float | None]) -> Column:
    """A level at its highest in each row; `level` is None where a point does not tell."""
    return [rounded(level(row.highest)) if row.seconds else None for row in rows]


def latest(rows: Iterable[Row], level: Callable[[Point], float | None]) -> Column:
    """The level at the end of each row."""
    return [rounded(level(row.last)) if row.seconds else None for row in rows]


def growth(rows: Iterable[Row], total: Callable[[Point], float]) -> Column:
    """How much a second a total grew that points give as it stands since the run began.

    What grew in a hole is spread over it and the row that follows.
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
    """A timer's quantiles in seconds for each row, and its longest duration at the end.

    Args:
        rows: Rows that have durations of `timer`.
        timer: Its name.
        fractions: Of `amoc.metrics.timer_statistics.FRACTIONS`.
    """
    wanted = [*map(FRACTIONS.index, fractions), len(FRACTIONS)]
    columns: list[Column] = [[] for _ in wanted]
    for row in rows:
        found = row.durations.get(timer)
        for column, at in zip(columns, wanted, strict=True):
            column.append(rounded(found[at]) if found is not None else None)
    return columns
