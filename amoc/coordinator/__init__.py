"""The coordinator: gathers users into groups, and runs actions for each group.

    coordinator.start("pairs", [(2, introduce)], timeout=30)     # in init()
    coordinator.add("pairs", client.jid)                         # in start()
    coordinator.barrier("logged_in", 70_000, timeout=600)

Barriers and coordinators have one name in the whole run.
"""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
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
    # waiting for each other
    "barrier",
    # what actions receive, and what may be caught
    "Event",
    "BarrierTimeout",
]

if not TYPE_CHECKING:  # so that a type checker notices names that do not exist
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.coordinator.api": ["add", "barrier", "reset", "start", "state", "stop"],
            "amoc.coordinator.barrier_worker": ["BarrierTimeout"],
            "amoc.coordinator.plan": ["Event"],
        },
    )
