"""The placement of users, from the controller to nodes and workers. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """Part of `Init`: the worker of each user, determined by its id alone.

    Workers are numbered across the whole run, node by node.
    """

    workers: Sequence[int]
    """The number of workers of each node."""
    seats: Sequence[int]
    """The nodes to which blocks of ids go, in order, repeated from the start."""
    block: int = 1
    """The number of consecutive ids that go to the same node."""
    origin: int = 1
    """The first id of the first block."""
    begun: int = 0
    """The number of nodes present at the start, if others with ids may join; 0 means all."""


class Move(NamedTuple):
    """Down: some users are moved to other workers."""

    first: int
    last: int
    """The range of ids concerned."""
    lost: Sequence[int]
    """Only users on these lost workers are moved; if empty, all in the range."""
    to: Sequence[int]
    """The workers to which they are moved, round robin."""
