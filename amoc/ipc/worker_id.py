"""Which worker something came from, or goes to. Pure."""

from typing import NamedTuple


class WorkerId(NamedTuple):
    """One life of one worker: who replaces it has the same index and the next incarnation.

    Attributes:
        node: Its node's name.
        worker: Its index on its node, from 0.
        incarnation: Which life of that index it is, from 1.
    """

    node: str
    worker: int
    incarnation: int

    @property
    def child(self) -> str:
        """What its node's end of the bus calls it."""
        return f"w{self.worker}.{self.incarnation}"

    def __str__(self) -> str:
        return f"{self.node}/{self.worker}"
