"""What a worker is born with, and how long it may take to leave."""

from collections.abc import Callable
from typing import NamedTuple

from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import Board
from amoc.users.placement import Placement

GRACE_S = 2.0
"""How long workers may take to leave by themselves at the end."""


class WorkerSpec(NamedTuple):
    """What a worker is born with.

    Attributes:
        id: Which worker it is.
        placement: Who runs where.
        directory: Where the node's sockets are.
        start: The scenario's start() as a function of the user's id.
        scenario: Its name.
        scenario_directory: Where the scenario's own files are.
        max_users: The most users of the run's arrival rate; 0 without one.
        first_arrival: The id of the first of these.
    """

    id: WorkerId
    placement: Placement
    board: Board
    directory: str
    start: Callable[[int], object]
    scenario_directory: str
    seed: int
    run_id: str
    max_users: int = 0
    first_arrival: int = 1
    scenario: str = ""
