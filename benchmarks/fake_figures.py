"""Metrics and workers as fake nodes report them, made once for all equal reports. Pure."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from amoc.base.clock import MS_NS
from amoc.metrics.health_figures import WorkerPoint, sent_figures
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.workers_together import NamedWorkers, sent_together

MADE = 1 << 10
"""How many equal reports are cached. Making them for each node would take more of the machine
than the controller does."""
CELLS = range(700, 740)
"""Cells of each timer that are hit."""
KINDS = 8
"""In seconds."""


@cache
def names(kind: str, number: int) -> list[str]:
    """Return the names of `number` metrics."""
    return [f"{kind}_{index}" for index in range(number)]


@lru_cache(MADE)
def counters(number: int, times: int) -> dict[str, int]:
    """Return counters, each with the given total."""
    return dict.fromkeys(names("counter", number), times)


@lru_cache(MADE)
def timers(number: int, times: int) -> Any:
    """Return timers, each cell of which was hit equally often, as a sample has them."""
    one = Histogram(dict.fromkeys(CELLS, times), 10 * MS_NS)
    return TimerBlock.of(dict.fromkeys(names("timer", number), one)).wire() if number else ()


@lru_cache(MADE)
def _workers(users: tuple[int, ...], kind: int) -> list[WorkerPoint]:
    """Return a node's workers, all healthy; values differ between seconds, as with real ones."""
    return [_point(index, alive, kind) for index, alive in enumerate(users)]


_TOLD = NamedWorkers()


@lru_cache(MADE)
def told(users: tuple[int, ...], sample: int, each: bool) -> list[tuple[Any, ...]]:
    """Return the workers that a sample describes, numbered from 0: some, or all."""
    workers = _workers(users, sample % KINDS)
    return [*map(sent_figures, workers if each else _TOLD.choose(workers))]


@lru_cache(MADE)
def together(users: tuple[int, ...], sample: int) -> list[tuple[Any, ...]]:
    """Return the values of all workers together."""
    return sent_together(_workers(users, sample % KINDS))


def _point(index: int, users: int, kind: int) -> WorkerPoint:
    some = hash((index, kind)) % 1000 / 1000
    return WorkerPoint(
        "",
        index,
        users=users,
        cpu=round(0.4 + some / 5, 4),
        lag_p99_s=round(0.002 + some / 100, 6),
        late_p99_s=round(0.001 + some / 200, 6),
        gc_s=round(some / 50, 6),
        cpu_wait_s=round(some / 25, 6),
        preemption_rate=round(some * 100, 1),
        rss_bytes=(100 << 20) + (int(some * 100) << 12),
        fds=users + 20,
        fd_limit=20_000,
        users_peak=users,
        cpu_s=12.345678,
        max_rss_bytes=110 << 20,
        loop_lag_p99_s=0.012,
    )
