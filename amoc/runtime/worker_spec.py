"""The parameters of a new worker, and limits on its life that node and supervisor share."""

from collections.abc import Callable
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import Board
from amoc.users.placement import Placement

SHORT_LIFE_NS = 2 * S_NS
"""A worker that lives no longer counts as having died early."""
GRACE_S = 2.0
"""How long workers may take to exit on their own at the end."""


class WorkerSpec(NamedTuple):
    """The parameters of a new worker.

    Attributes:
        id: The worker.
        placement: The worker of each user.
        directory: Directory of the node's sockets.
        start: The scenario's start() as a function of the user's id.
        scenario: The scenario's name.
        scenario_directory: Directory of the scenario's files.
        max_users: Most users of the run's arrival rate; 0 without one.
        first_arrival: The first id of these users.
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
