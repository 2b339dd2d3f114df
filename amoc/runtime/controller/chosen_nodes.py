"""Nodes that an operator chooses for a command, and users placed on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from amoc.base.errors import ResourceError, UsageError
from amoc.ipc.messages.placement import Move
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.whereabouts import Whereabouts
from amoc.users.placement import Placement

MAX_MOVES = 1_000
"""How often users may be placed on chosen nodes: each time makes the lookup of a worker slower."""


def named(there: Sequence[Node], names: Sequence[str], *, may_come: bool = False) -> list[Node]:
    """Return the nodes of `there` that have one of `names`, or whose hosts have.

    Raises:
        UsageError: No node has one of the names; if others `may_come`: no node has any of them.
    """
    chosen: list[Node] = []
    known = {name for one in there for name in one.names}
    for name in names:
        found = [one for one in there if name in one.names]
        if not found and not (may_come and known.intersection(names)):
            names_there = ", ".join(one.name for one in there)
            raise UsageError(f"--on-nodes must name nodes of the run ({names_there}), got {name}")
        chosen += [one for one in found if one not in chosen]
    return chosen


class ChosenNodes:
    """Finds nodes by their names or hosts, and places users there."""

    def __init__(
        self, nodes: Nodes, placement: Placement, whereabouts: Whereabouts | None = None
    ) -> None:
        """Choose among `nodes`; `placement` and `whereabouts` are updated."""
        self._nodes = nodes
        self._placement = placement
        self._whereabouts = whereabouts

    def workers_of(self, names: Sequence[str]) -> list[int]:
        """Return the workers of the nodes with these names or on these hosts, in turn.

        Raises:
            UsageError: No node has one of the names.
        """
        # `present` may still include a node that is being given up.
        chosen = named([one for one in self._nodes.present if not one.lost], names)
        turns = zip_longest(*(one.workers for one in chosen))
        return [worker for worker in chain.from_iterable(turns) if worker is not None]

    def put(self, ids: range, workers: Sequence[int]) -> None:
        """Place these users, which have not started yet, on these workers in turn.

        Raises:
            ResourceError: This was done too often.
        """
        if len(self._placement.moves) >= MAX_MOVES:
            raise ResourceError(
                f"--on-nodes can be used to add users at most {MAX_MOVES:,} times in a run; leave"
                " it out"
            )
        move = Move(ids[0], ids[-1], [], list(workers))
        self._placement.move(move)
        if self._whereabouts is not None:
            self._whereabouts.put(ids)
        self._nodes.send_all(move)
