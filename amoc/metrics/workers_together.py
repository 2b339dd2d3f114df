"""The workers of a node combined, and the choice of those reported individually. Pure.

The data that the controller keeps per worker and second limits how many workers it can have. So in
a run with many workers (`named_every`), a node reports figures for all of its workers together each
second, and individual ones only for some: those past a limit and, in each sample or every few, the
one closest to a limit and one of the others in rotation. The last sample includes each worker, so
all totals are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

from amoc.metrics.health_figures import WorkerPoint, sent_figures, worker_point
from amoc.metrics.health_limits import strain

FEW = 256
"""Workers of a run that can all be reported each second; also the limit for those within limits."""
FEW_OF_A_NODE = 4
"""Reporting this many individually costs no more than reporting them together."""
MOST_PAST = 8
"""Workers of a node reported because they are past a limit: those past it the longest."""
HELD = 4
"""Samples for which a worker is reported after it was past a limit. Its shares of a core are judged
by the mean of three seconds, so the fourth shows whether they are within the limit again."""
_WELL = 2
"""Workers of a node reported although they are within limits."""
OF_ALL = MEAN, HIGHEST = "mean", "highest"


@dataclass(frozen=True)
class Together:
    """The figures of all workers of a node in a second.

    Attributes:
        node: The node's name.
        workers: The number of workers.
        mean: The mean of each metric.
        highest: The maximum of each metric.
    """

    node: str
    workers: int
    mean: WorkerPoint
    highest: WorkerPoint

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON."""
        return {**vars(self), MEAN: {**vars(self.mean)}, HIGHEST: {**vars(self.highest)}}

    @classmethod
    def of(
        cls, node: str, workers: int, told: Sequence[Sequence[float]], span_s: float
    ) -> Together:
        """Convert what a node sent as `sent_together`, see `worker_point`."""
        return cls(node, workers, *(worker_point(node, one, span_s) for one in told))


def sent_together(workers: Sequence[WorkerPoint]) -> list[tuple[float, ...]]:
    """Return the figures a node sends for all workers: the mean and the maximum, as `SENT`."""
    columns = [*zip(*map(sent_figures, workers), strict=True)][1:]
    mean = (round(sum(one) / len(one), 6) for one in columns)
    return [(0, *mean), (0, *map(max, columns))]


def named_every(workers: Sequence[int]) -> int:
    """Return the interval, in samples, at which some workers within limits are reported.

    Args:
        workers: The number of workers of each node of the run.

    Returns:
        The number of samples; 0 if each sample includes each worker.
    """
    if sum(workers) <= FEW or max(workers) <= FEW_OF_A_NODE:
        return 0
    return ceil(_WELL * len(workers) / FEW)


class NamedWorkers:
    """Chooses the workers of a node that are reported individually."""

    def __init__(self) -> None:
        self._past: dict[int, int] = {}  # samples left by worker number; longest past a limit first
        self._samples = self._turn = 0

    def choose(self, workers: Sequence[WorkerPoint], every: int = 1) -> list[WorkerPoint]:
        """Choose those of a sample, in which times are shares.

        Args:
            workers: All workers of the node.
            every: See `named_every`.
        """
        strains = {one.worker: strain(one) for one in workers}
        self._past |= {number: HELD for number, one in strains.items() if one >= 1}
        told = {*islice(self._past, MOST_PAST)}
        self._past = {number: left - 1 for number, left in self._past.items() if left > 1}
        self._samples += 1
        if (self._samples + workers[0].worker // len(workers)) % every == 0:  # nodes alternate
            self._turn = (self._turn + 1) % len(workers)
            told |= {max(strains, key=strains.__getitem__), workers[self._turn].worker}
        return [one for one in workers if one.worker in told]


def labelled(
    workers: Iterable[WorkerPoint], together: Iterable[Together]
) -> dict[tuple[str, str], WorkerPoint]:
    """Return workers by node and number, and each node's ``mean`` and ``highest``."""
    found = {(one.node, str(one.worker)): one for one in workers}
    for one in together:
        found |= {(one.node, MEAN): one.mean, (one.node, HIGHEST): one.highest}
    return found


def mean_of(together: Sequence[Together], name: str) -> float | None:
    """Return the mean of a metric over the workers of all nodes; None without any."""
    number = sum(one.workers for one in together)
    of_all: float = sum(getattr(one.mean, name) * one.workers for one in together)
    return of_all / number if number else None
