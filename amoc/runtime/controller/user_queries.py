"""Queries to the nodes for the present state of their users, between two samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import gevent
from gevent.event import AsyncResult

from amoc.ipc.messages.users import QueryUsers, UsersNow
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.start_queue import ALL

ANSWER_S = 1.0
"""How long the nodes may take to answer."""


class UserQueries:
    """Asks the nodes about their users, and collects the answers."""

    def __init__(self, nodes: Nodes, on_answer: Callable[[str, UsersNow], object]) -> None:
        """Ask `nodes`; `on_answer` is called with the node's name and each answer."""
        self._nodes = nodes
        self._on_answer = on_answer
        self._number = 0
        self._asked: dict[tuple[str, int], AsyncResult[UsersNow]] = {}

    def handle(self, node: str, now: UsersNow) -> None:
        """Process a node's answer."""
        self._on_answer(node, now)
        if (answer := self._asked.get((node, now.number))) is not None:
            answer.set(now)

    def query(self, keep: int = -1, ids: range = ALL) -> UsersNow | None:
        """Ask all nodes for the present state of their users.

        Args:
            keep: How many users are to stay; the answer names those beyond that.
            ids: The ids to consider.

        Returns:
            The merged answers; None if a node does not answer in time.
        """
        names = [node.name for node in self._nodes.present]
        if keep < 0 or len(names) == 1:
            found = self._ask(dict.fromkeys(names, keep), ids)
            return _together(found) if found is not None else None
        counts = self._ask(dict.fromkeys(names, ALL.stop), ids)
        if counts is None:
            return None
        excess = max(0, sum(now.present for now in counts.values()) - keep)
        # All of the highest ids may be on one node.
        found = self._ask({name: max(0, now.present - excess) for name, now in counts.items()}, ids)
        if found is None:
            return None
        both = _together(found)
        return both._replace(beyond=both.beyond[: max(0, both.present - keep)])

    def _ask(self, keep: Mapping[str, int], ids: range) -> dict[str, UsersNow] | None:
        """Ask each node which of `ids` are beyond its number in `keep`; return their answers."""
        number = self._number = self._number + 1
        asked: dict[str, AsyncResult[UsersNow]] = {name: AsyncResult() for name in keep}
        self._asked.update({(name, number): answer for name, answer in asked.items()})
        try:
            for name, most in keep.items():
                self._nodes.send(name, QueryUsers(number, most, ids[0], ids[-1]))
            gevent.wait(list(asked.values()), timeout=ANSWER_S)
            answers = {name: answer.value for name, answer in asked.items() if answer.ready()}
            found = {name: now for name, now in answers.items() if now is not None}
            return found if len(found) == len(keep) else None
        finally:
            for name in keep:
                del self._asked[name, number]


def _together(found: Mapping[str, UsersNow]) -> UsersNow:
    users = Counter[int]()
    for now in found.values():
        users.update(now.users)
    return UsersNow(
        max(now.number for now in found.values()),
        min(now.at_ns for now in found.values()),
        users,
        [alive for now in found.values() for alive in now.alive],
        sorted((one for now in found.values() for one in now.beyond), reverse=True),
        sum(now.present for now in found.values()),
    )
