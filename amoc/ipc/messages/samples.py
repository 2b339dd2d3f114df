"""Samples of a node's shared board, taken once a second. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """Up, once a second: the figures on the node's board.

    Counts are totals, and only those that changed since the last acknowledged sample. A total only
    grows, so the larger of two is the newer one: samples may be repeated and arrive in any order.
    """

    sequence: int
    """From 1; users, workers and gauges are taken from the newest sample."""
    at_ns: int
    users: Mapping[int, int]
    """The number of users in each `UserState`."""
    users_peak: int
    """The maximum number of users alive, checked twenty times a second; never less than the exact
    peak of the busiest worker."""
    counters: Mapping[str, int]
    gauges: Mapping[str, tuple[int, float, int]]
    """The `Merge` rule, the workers' values merged by it (for a mean, their sum), and their
    number."""
    timers: tuple[Sequence[str], bytes, bytes, bytes, bytes] | tuple[()]
    """Histogram buckets of timers, as `amoc.metrics.timer_block.TimerBlock.wire`."""
    crashes: Mapping[str, int]
    """Crashed iterations by cause."""
    throttles: Mapping[str, Sequence[int]]
    """The counts of each throttle, as `amoc.metrics.throttle_counts.ThrottleCounts`."""
    waiting: Mapping[str, int]
    """The number of users waiting at each throttle; throttles without any are omitted."""
    workers: Sequence[Sequence[float]]
    """The health of individually reported workers since the previous sample: their
    `health_figures.SENT`, with times as shares of that interval."""
    host: Sequence[float]
    """The host's health figures, in the order of `health_figures.NODE`."""
    gone: Sequence[tuple[int, int]] = ()
    """With several nodes: users placed here that have left for good, or will at the end of their
    iteration, as ranges of ids (first, count). Like counts, only those not acknowledged yet."""
    first: int = 0
    """The number of the node's first worker; the others follow."""
    alive: Sequence[int] = ()
    """The number of users of each worker."""
    restarted: int = 0
    """Users restarted because a worker was lost."""
    together: Sequence[Sequence[float]] = ()
    """The health of all workers together, if they are not reported individually:
    `workers_together.sent_together`."""
    is_last: bool = False
    """Whether it is the node's last sample; the node waits for its acknowledgement."""


class Sampled(NamedTuple):
    """Down: the sample with this sequence has arrived, and its content is kept."""

    sequence: int


FEW_CELLS = 500
"""Maximum number of timer cells that are cheap to repeat in the next sample."""
EVERY = 4
"""How often small samples are acknowledged: every fourth."""


def is_acknowledged(sample: Sample) -> bool:
    """Return whether the controller acknowledges the sample.

    A sample repeats all that has not been acknowledged. For small samples that costs less than a
    message, so only some of them are acknowledged.
    """
    return sample.is_last or sample.sequence % EVERY == 0 or cells_in(sample) > FEW_CELLS


def cells_in(sample: Sample) -> int:
    """Return the number of timer cells in a sample."""
    return len(sample.timers[3]) // 2 if sample.timers else 0
