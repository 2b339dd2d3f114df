"""Bucket bounds of exported histograms. Pure.

A timer's cells are at most 0.8 % wide, and a cell counts as below a bound if its middle is, so a
bucket's count is that of a bound shifted by at most 0.4 %.
"""

from __future__ import annotations

from bisect import bisect_left

from amoc.base.clock import S_NS
from amoc.metrics.histogram import CELLS, middle_ns

BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""In seconds; the last bucket is unbounded."""
# A thousand timers have about a hundred thousand cells, so these are precomputed.
MIDDLE_S = tuple(middle_ns(cell) / S_NS for cell in range(CELLS))
"""The middle of each cell, in seconds."""
BUCKET = tuple(bisect_left(BOUNDS_S, middle_s) for middle_s in MIDDLE_S)
"""The bucket of each cell."""
