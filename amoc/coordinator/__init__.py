"""The coordinator: users are gathered into groups, and something is done with each group.

    coordinator.start("pairs", [(2, introduce)], timeout=30)     # in init()
    coordinator.add("pairs", client.jid)                         # in start()
    coordinator.barrier("logged_in", 70_000, timeout=600)

Names of barriers and coordinators are those of the whole run.
"""

from amoc.coordinator.api import add, barrier, reset, start, state, stop
from amoc.coordinator.barrier_worker import BarrierTimeout
from amoc.coordinator.plan import Event

__all__ = [  # noqa: RUF022 - grouped, as a table of contents
    # groups
    "start",
    "add",
    "reset",
    "stop",
    "state",
    # all at once
    "barrier",
    # what actions are given, and what may be caught
    "Event",
    "BarrierTimeout",
]
