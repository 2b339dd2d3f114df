"""Which users each node is given, and where they go when a node is lost or joins."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isfinite

from amoc.ipc.messages.placement import Move
from amoc.runtime.controller.nodes import Node, Nodes
from amoc.runtime.controller.start_queue import MAX_OUTSTANDING, StartQueue
from amoc.runtime.controller.whereabouts import Whereabouts
from amoc.scenario.run_plan import RunPlan
from amoc.users.placement import Placement, by_worker, in_parts, turns_of

AHEAD_S = 1.0
MIN_AHEAD = 5
"""Where nodes may join, workers are dealt no more users than start in so long, or so many: a user
that was dealt stays where it is."""


class NodeUsers:
    """Deals users to nodes, and moves those of a lost one, or those that a new one is to have.

    Attributes:
        whereabouts: Who was dealt and has not left; None where there is one node, and no other can
            come.
    """

    def __init__(
        self,
        plan: RunPlan,
        nodes: Nodes,
        placement: Placement,
        starts: StartQueue,
        starts_per_s: Callable[[int], float],
    ) -> None:
        """Begin with nobody dealt.

        Args:
            plan: What is run.
            nodes: The lines to the nodes.
            placement: Who runs where; kept up to date, here and on all nodes.
            starts: The users that are still to be dealt.
            starts_per_s: How many users start in a second, at a time.
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
        """Users may start."""
        there = [one.workers for one in self._nodes.all]
        if self._max_users and self._plan.dealt_ids and len(there) < self._seats:
            # By the layout all seats have ids, for slots; those of other loads need who is there.
            turns = turns_of(by_worker([*map(len, there)]), [one.start for one in there])
            self._move(Move(self._plan.dealt_ids[0], self._plan.dealt_ids[-1], [], turns))

    def deal(self, now_ns: int) -> None:
        """Give the workers the users that they have room for."""
        for block in self._starts.deal(now_ns, self._ahead(now_ns)):
            if self.whereabouts is not None:
                self.whereabouts.dealt(block.ids)
            self._nodes.send_to_worker(block.worker, block)

    def _ahead(self, now_ns: int) -> int:
        """How many users a worker may have that have not started."""
        if len(self._nodes.all) == self._seats or not isfinite(per_s := self._starts_per_s(now_ns)):
            return MAX_OUTSTANDING
        workers = sum(len(one.workers) for one in self._nodes.there)
        return min(MAX_OUTSTANDING, max(MIN_AHEAD, ceil(per_s * AHEAD_S / workers)))

    def lose(self, node: Node, restart: bool) -> tuple[int, int, int]:
        """A node is no more: its users go to the others.

        Args:
            node: Which one.
            restart: Whether those start again that it had and that have not left.

        Returns:
            How many of its users start again, how many do not, and how many it had been dealt.
        """
        assert self.whereabouts is not None  # the only node is not given up
        users = self.whereabouts.on(node.workers)
        never = self._starts.unstarted(node.workers)
        ran = [one for one in users if one not in never]
        unstarted = [one for one in users if one in never]
        left = [one for other in self._nodes.there if not other.lost for one in other.workers]
        self._move(Move(1, self._ids[-1], list(node.workers), left))
        self.whereabouts.withdrawn(unstarted)
        again = ran if restart else ()
        if not restart:
            self.whereabouts.gone((one, 1) for one in ran)
        self._starts.lose(node.workers, again, unstarted)
        return len(again), len(ran) - len(again), len(users)

    def join(self, node: Node, turns: list[int]) -> int:
        """A node is there whose workers are up: users that were not dealt go to it and the others.

        Args:
            node: Which one.
            turns: The workers that users go to by turns, those of the other nodes among them; not
                its own where users are for nodes with other names.

        Returns:
            How many of them it has, with those that it may have at once where slots start them.
        """
        assert self.whereabouts is not None  # there was room for it
        for move in self._placement.moves:
            self._nodes.send(node.name, move)
        if not set(node.workers).intersection(turns):
            return 0
        by_slots = 0
        if self._max_users:
            self._move(Move(0, 0, [], turns))  # of nobody: each worker has ids of its own
            by_slots = sum(self._placement.share(self._max_users, one) for one in node.workers)
        undealt = self.whereabouts.never_dealt(self._plan.dealt_ids)
        if self._plan.placement == "blocks":
            workers = [one.workers for one in self._nodes.there if one.workers.start in turns]
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
