"""What a node's board says, sampled once a second. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Up, once a second: what the node's board says.

    Counts are totals, of what has changed since the sample before or was in one that is lost. A
    total only grows, so the larger of two is the newer: samples may be repeated and late in any
    order.
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
    gauges: Mapping[str, tuple[int, float, int]]
    """The `Merge` rule, what the workers' values are by it, of a mean their sum, and how many there
    are."""
    timers: tuple[Sequence[str], bytes, bytes, bytes, bytes] | tuple[()]
    """Cells of timers, as `amoc.metrics.timer_block.TimerBlock.wire`."""
    crashes: Mapping[str, int]
    """Iterations that raised, by cause."""
    throttles: Mapping[str, Sequence[int]]
    """What was counted of each throttle, as `amoc.metrics.throttle_counts.ThrottleCounts`."""
    waiting: Mapping[str, int]
    """How many users wait at a throttle; those without are left out."""
    workers: Sequence[Sequence[Any]]
    """How each did that is told of, since the sample before: its `health_figures.TOLD`, times as
    shares of that."""
    host: Sequence[float]
    """The host's health figures, in the order of `health_figures.NODE`."""
    gone: Sequence[tuple[int, int]] = ()
    """Where there are several nodes: users that were dealt here and have left for good, or will at
    the end of their iteration. Each the first of some ids and how many follow each other from it.
    As of counts, only those that are new or were in a sample that is lost."""
    first: int = 0
    """The number of the node's first worker; the others follow."""
    alive: Sequence[int] = ()
    """How many users each worker has."""
    restarted: int = 0
    """Users that were started again because a worker was lost."""
    together: Sequence[Sequence[Any]] = ()
    """How all workers did, where not each is told of: `workers_together.told_together`."""
    is_last: bool = False
    """Whether it is the node's last one, which waits until it has come."""


class Sampled(NamedTuple):
    """Down: the sample with this sequence has come, and what it said is kept."""

    sequence: int


FEW_CELLS = 500
"""Cells of timers that do no harm when a sample repeats them."""
EVERY = 4
"""Which of the samples that tell little is acknowledged."""


def is_acknowledged(sample: Sample) -> bool:
    """Whether the controller says that it has come.

    The next repeats what was not acknowledged before, which costs less than a message does where
    that is little: so of samples that tell little, only some are.
    """
    return sample.is_last or sample.sequence % EVERY == 0 or cells_in(sample) > FEW_CELLS


def cells_in(sample: Sample) -> int:
    """How many cells of timers a sample tells."""
    return len(sample.timers[3]) // 2 if sample.timers else 0
