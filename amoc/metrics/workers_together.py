"""The workers of a node as one, and which of them are told of besides. Pure.

What the controller keeps of each worker in each second is what limits how many it can have. So in a
run with many workers (`named_every`) a node tells each second how all of its workers did together,
and by name only of some: of those that are past a limit, and, in each sample or every so many, of
the one that is nearest to one and of each in its turn. The last sample tells of each, so the totals
of all are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any

from amoc.metrics.health_figures import WorkerPoint, in_a_second, told_of
from amoc.metrics.health_limits import strain

FEW = 256
"""Workers of a run of which each is told of in each second; and how many of all that are well."""
FEW_OF_A_NODE = 4
"""So many are told of as cheaply as together."""
MOST_PAST = 8
"""Workers of a node that are told of because they are past a limit: the longest so."""
HELD = 4
"""Samples for which a worker is told of that was past a limit. Its shares of a core are judged by
the mean of three seconds, so the fourth shows that they are not past it any more."""
_WELL = 2
"""Workers of a node that are told of although they are well."""
OF_ALL = MEAN, HIGHEST = "mean", "highest"


@dataclass(frozen=True)
class Together:
    """How all workers of a node did in a second.

    Attributes:
        node: The node's name.
        workers: How many there are.
        mean: The mean of each metric over them.
        highest: The highest.
    """

    node: str
    workers: int
    mean: WorkerPoint
    highest: WorkerPoint

    def to_json(self) -> dict[str, Any]:
        """It as JSON."""
        return {**vars(self), MEAN: {**vars(self.mean)}, HIGHEST: {**vars(self.highest)}}

    @classmethod
    def of(cls, node: str, workers: int, told: Sequence[Sequence[Any]], span_s: float) -> Together:
        """What a node has told as `told_together`, see `in_a_second`."""
        return cls(node, workers, *(in_a_second(node, one, span_s) for one in told))


def told_together(workers: Sequence[WorkerPoint]) -> list[tuple[Any, ...]]:
    """What a node tells of its workers together: the mean and the highest, as `TOLD`."""
    columns = [*zip(*map(told_of, workers), strict=True)][1:]
    mean = (round(sum(one) / len(one), 6) for one in columns)
    return [(0, *mean), (0, *map(max, columns))]


def named_every(workers: Sequence[int]) -> int:
    """Every how many samples some workers that are well are told of by name.

    Args:
        workers: How many of them each node of the run has.

    Returns:
        The number of samples; 0 if each worker is told of in each.
    """
    if sum(workers) <= FEW or max(workers) <= FEW_OF_A_NODE:
        return 0
    return ceil(_WELL * len(workers) / FEW)


class Told:
    """Chooses the workers of a node that are told of."""

    def __init__(self) -> None:
        self._past: dict[int, int] = {}  # by number: for how many samples; the longest so first
        self._samples = self._turn = 0

    def choose(self, workers: Sequence[WorkerPoint], every: int = 1) -> list[WorkerPoint]:
        """Those of a sample; times are shares.

        Args:
            workers: All of the node.
            every: See `named_every`.
        """
        strains = {one.worker: strain(one) for one in workers}
        self._past |= {number: HELD for number, one in strains.items() if one >= 1}
        told = {*islice(self._past, MOST_PAST)}
        self._past = {number: left - 1 for number, left in self._past.items() if left > 1}
        self._samples += 1
        if (self._samples + workers[0].worker // len(workers)) % every == 0:  # nodes by turns
            self._turn = (self._turn + 1) % len(workers)
            told |= {max(strains, key=strains.__getitem__), workers[self._turn].worker}
        return [one for one in workers if one.worker in told]


def labelled(
    workers: Iterable[WorkerPoint], together: Iterable[Together]
) -> dict[tuple[str, str], WorkerPoint]:
    """Workers by node and number, and ``mean`` and ``highest`` of those of a node together."""
    found = {(one.node, str(one.worker)): one for one in workers}
    for one in together:
        found |= {(one.node, MEAN): one.mean, (one.node, HIGHEST): one.highest}
    return found


def mean_of(together: Sequence[Together], name: str) -> float | None:
    """The mean of a metric over the workers of all nodes; None without any."""
    number = sum(one.workers for one in together)
    of_all: float = sum(getattr(one.mean, name) * one.workers for one in together)
    return of_all / number if number else None
