"""The users of each node, and where they go when a node is lost or joins."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isfinite

from amoc.ipc.messages.placement import Move
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.start_queue import MAX_OUTSTANDING, StartQueue
from amoc.runtime.controller.whereabouts import Whereabouts
from amoc.scenario.run_plan import RunPlan
from amoc.users.placement import Placement, by_worker, in_parts, turns_of

AHEAD_S = 1.0
MIN_AHEAD = 5
"""If nodes may join, a worker is dealt at most the users that start in this time, or this many: a
user that was dealt stays where it is."""


class NodeUsers:
    """Deals users to nodes, and moves users of lost nodes and to new nodes.

    Attributes:
        whereabouts: Which users were dealt and have not left; None if there is one node and no
            other can join.
    """

    def __init__(
        self,
        plan: RunPlan,
        nodes: Nodes,
        placement: Placement,
        starts: StartQueue,
        starts_per_s: Callable[[int], float],
    ) -> None:
        """Create it before any user is dealt.

        Args:
            plan: What is run.
            nodes: The connections to the nodes.
            placement: The worker of each user; kept up to date here and on all nodes.
            starts: The users still to be dealt.
            starts_per_s: Returns how many users start per second at a given time.
        """
        seats = len(placement.layout.workers)
        self._plan = plan
        self._ids = plan.ids
        self._max_users = plan.arrivals.max_users if plan.arrivals is not None else 0
        self._nodes = nodes
        self._placement = placement
        self._starts = starts
        self._starts_per_s = starts_per_s
        self._seats = seats
        self.whereabouts = Whereabouts(placement, plan.ids[-1]) if seats > 1 else None

    def begin(self) -> None:
        """Place the users of loads without slots; users may start."""
        there = [one.workers for one in self._nodes.all]
        if self._max_users and self._plan.dealt_ids and len(there) < self._seats:
            # The layout gives ids to all seats, for slots; other loads need the present nodes.
            turns = turns_of(by_worker([*map(len, there)]), [one.start for one in there])
            self._move(Move(self._plan.dealt_ids[0], self._plan.dealt_ids[-1], [], turns))

    def deal(self, now_ns: int) -> None:
        """Deal users to the workers that have room for them."""
        for block in self._starts.deal(now_ns, self._ahead(now_ns)):
            if self.whereabouts is not None:
                self.whereabouts.dealt(block.ids)
            self._nodes.send_to_worker(block.worker, block)

    def _ahead(self, now_ns: int) -> int:
        """Return how many users a worker may have that have not started."""
        if len(self._nodes.all) == self._seats or not isfinite(per_s := self._starts_per_s(now_ns)):
            return MAX_OUTSTANDING
        workers = sum(len(one.workers) for one in self._nodes.present)
        return min(MAX_OUTSTANDING, max(MIN_AHEAD, ceil(per_s * AHEAD_S / workers)))

    def lose(self, node: Node, restart: bool) -> tuple[int, int, int]:
        """Move the users of a lost node to the others.

        Args:
            node: The node.
            restart: Whether its users that have not left restart.

        Returns:
            How many of its users restart, how many do not, and how many had been dealt to it.
        """
        assert self.whereabouts is not None  # the only node is never given up
        users = self.whereabouts.on(node.workers)
        never = self._starts.unstarted(node.workers)
        ran = [one for one in users if one not in never]
        unstarted = [one for one in users if one in never]
        left = [one for other in self._nodes.present if not other.lost for one in other.workers]
        self._move(Move(1, self._ids[-1], list(node.workers), left))
        self.whereabouts.withdrawn(unstarted)
        again = ran if restart else ()
        if not restart:
            self.whereabouts.gone((one, 1) for one in ran)
        self._starts.lose(node.workers, again, unstarted)
        return len(again), len(ran) - len(again), len(users)

    def join(self, node: Node, turns: list[int]) -> int:
        """Redistribute undealt users to include a new node, whose workers are up.

        Args:
            node: The node.
            turns: The workers that get users in turn, on this and other nodes. Without this node's
                workers if users may only be placed on other nodes.

        Returns:
            How many users it gets, including those that it may have at once if slots start them.
        """
        assert self.whereabouts is not None  # a seat was free
        for move in self._placement.moves:
            self._nodes.send(node.name, move)
        if not set(node.workers).intersection(turns):
            return 0
        by_slots = 0
        if self._max_users:
            self._move(Move(0, 0, [], turns))  # moves no user: each worker has its own ids
            by_slots = sum(self._placement.share(self._max_users, one) for one in node.workers)
        undealt = self.whereabouts.never_dealt(self._plan.dealt_ids)
        if self._plan.placement == "blocks":
            workers = [one.workers for one in self._nodes.present if one.workers.start in turns]
            moves = in_parts(undealt, self._plan.planned_ids, workers, turns)
        else:
            moves = [Move(first, last, [], turns) for first, last in undealt]
        for move in moves:
            self._move(move)
            self._starts.spread(move.first, move.last)
        return by_slots + self._starts.to_start(node.workers)

    def _move(self, move: Move) -> None:
        self._placement.move(move)
        self._nodes.send_all(move)
