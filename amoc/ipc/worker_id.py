"""The id of a worker, as a sender or an addressee. Pure."""

from typing import NamedTuple


class WorkerId(NamedTuple):
    """One life of a worker; its replacement has the same index and the next incarnation.

    Attributes:
        node: The name of its node.
        worker: Its index on the node, from 0.
        incarnation: The number of its life with this index, from 1.
    """

    node: str
    worker: int
    incarnation: int

    @property
    def child(self) -> str:
        """Its name on the node's bus."""
        return f"w{self.worker}.{self.incarnation}"

    def __str__(self) -> str:
        return f"{self.node}/{self.worker}"
