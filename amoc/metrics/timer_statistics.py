"""The statistics shown of a timer: the only list of them. Pure.

The summary, the tables of the terminal and of the report, the exports and the exporters take their
columns from here. Thresholds accept any percentile, see `amoc.results.thresholds.measure`.
"""

from __future__ import annotations

from typing import NamedTuple

from amoc.metrics.histogram import Histogram


class Percentile(NamedTuple):
    """A percentile and its names."""

    fraction: float
    """0.999 is the 99.9th percentile."""

    @property
    def label(self) -> str:
        """The name for people: ``p99.9``."""
        return f"p{100 * self.fraction:g}"

    @property
    def field(self) -> str:
        """The name in data, in seconds: ``p999_s``."""
        return f"{self.label.replace('.', '')}_s"


PERCENTILES = tuple(map(Percentile, (0.5, 0.9, 0.95, 0.99, 0.999)))
"""The percentiles in a summary."""
MAIN = tuple(map(Percentile, (0.5, 0.95, 0.99)))
"""The percentiles for which there is room everywhere."""
FRACTIONS = tuple(one.fraction for one in MAIN)
"""The fractions of `MAIN`."""
FIELDS = ("count", "mean_s", *(one.field for one in PERCENTILES), "max_s")
"""All statistics of a timer, in the order of columns; durations in seconds."""
TABLE = {"mean": "mean_s", **{one.label: one.field for one in MAIN}, "max": "max_s"}
"""Headings and fields of a table in the terminal."""


def statistics(timer: Histogram) -> dict[str, float]:
    """Return a timer's `FIELDS`."""
    found = timer.quantiles_s(*(one.fraction for one in PERCENTILES))
    return dict(zip(FIELDS, (timer.count, timer.mean_s, *found, timer.max_ns / 1e9), strict=True))


def timer_json(timer: Histogram) -> dict[str, object]:
    """Return percentiles for people and ``jq``, and for sums the cells: cell, count, cell, …."""
    quantiles = zip(MAIN, timer.quantiles_s(*FRACTIONS), strict=True)
    return {
        "count": timer.count,
        **{one.field: round(value_s, 9) for one, value_s in quantiles},
        "max_ns": timer.max_ns,
        "cells": [number for item in sorted(timer.cells.items()) for number in item],
    }
