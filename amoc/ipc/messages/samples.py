"""What a node's board says, sampled once a second. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class WorkerFigures(NamedTuple):
    """One worker's own figures, part of `Sample`.

    Times and counts are totals over all its incarnations.
    """

    worker: int
    incarnation: int
    pid: int
    users: int
    users_peak: int
    restarted: int
    waiting: int
    cpu_ns: int
    beat_ns: int
    """When the worker has noted its times: each of its beats does."""
    max_rss_bytes: int
    loop_lag_p99_s: float
    """Over all incarnations."""
    lag_p99_s: float
    """Since the sample before, and so is the next."""
    late_p99_s: float
    """How late users were let through throttles; 0 if none were."""
    gc_ns: int
    """Time spent in pauses of the garbage collector."""
    queued_ns: int
    """Time that it was ready to run and had no core."""
    rss_bytes: int
    fds: int
    fd_limit: int


class HostFigures(NamedTuple):
    """A node's host, part of `Sample`; see `amoc.results.series.NodePoint`."""

    cpu: float
    memory_bytes: int
    memory_free_bytes: int
    ports: int
    ports_used: int


class Sample(NamedTuple):
    """Up, once a second: what the node's board says.

    Counts are totals, and those are left out that have not changed since the latest sample that the
    controller has acknowledged. A total only grows, so the larger of two is the newer: samples may
    be lost, repeated and late in any order.
    """

    sequence: int
    """From 1; the newest says how users, workers and gauges are."""
    at_ns: int
    users: Mapping[int, int]
    """How many users are in each `UserState`."""
    users_peak: int
    """The most users that were alive at once, as seen twenty times a second; never less than the
    exact peak of the busiest worker."""
    counters: Mapping[str, int]
    gauges: Mapping[str, tuple[int, Sequence[float]]]
    """The `Merge` rule and each worker's figure."""
    timers: Mapping[str, tuple[int, Sequence[int]]]
    """The maximum in ns, and the cells that were hit as cell, count, cell, count, …"""
    crashes: Mapping[str, int]
    """Iterations that raised, by cause."""
    workers: Sequence[tuple[Any, ...]]
    """Each a `WorkerFigures`."""
    host: tuple[Any, ...]
    """A `HostFigures`."""


class Sampled(NamedTuple):
    """Down: the sample with this sequence has come, and what it said is kept."""

    sequence: int
