"""Where users run, as the controller tells nodes and workers. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """Part of `Init`: which user is on which worker, by its id alone.

    Workers are numbered over the whole run: those of a node follow those of the nodes before it.
    """

    workers: Sequence[int]
    """How many workers each node has."""
    seats: Sequence[int]
    """Which node each block of ids goes to; after the last one they begin anew."""
    block: int = 1
    """How many ids in a row go to the same node."""
    origin: int = 1
    """The id with which the first block begins."""
    begun: int = 0
    """How many of the nodes the run begins with, where others have ids too; 0 means all."""


class Move(NamedTuple):
    """Down: some users are on other workers from now on."""

    first: int
    last: int
    """The ids that this concerns."""
    lost: Sequence[int]
    """Those of them on these workers, which are no more; if empty, all of them."""
    to: Sequence[int]
    """Which workers they are on now, by turns."""
