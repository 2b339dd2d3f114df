"""Commands given by a scenario: the load shape of a locustfile adds and removes users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import gevent

from amoc.base.errors import AmocError
from amoc.control.answers import Answer
from amoc.control.commands import Command, checked
from amoc.ipc.rpc import ADD_USERS, REMOVE_USERS, Later
from amoc.ipc.worker_id import WorkerId
from amoc.results.replay import SCENARIO


class ScenarioCommands:
    """Carries out the commands of a scenario.

    Attributes:
        operations: The calls of scenarios, see `amoc.ipc.rpc`.
    """

    def __init__(self, operate: Callable[[Command, str], Answer]) -> None:
        """Create it; `operate` carries out a command, given its source."""
        self._operate = operate
        self.operations: Mapping[str, Callable[..., object]] = {
            ADD_USERS: partial(self._later, "add"),
            REMOVE_USERS: partial(self._later, "remove"),
        }

    def _later(self, name: str, _: WorkerId | None, count: int) -> Later:
        """Start a command, which asks all workers; return a reply for when they have answered."""
        later = Later()
        gevent.spawn(self._do, later, checked(name, {"count": count}))
        return later

    def _do(self, later: Later, command: Command) -> None:
        try:
            self._operate(command, SCENARIO)
        except AmocError as refused:
            later.done(error=str(refused))
        else:
            later.done()
