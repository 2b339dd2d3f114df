"""Commands that a scenario gives: a locustfile's load shape has users come and go."""

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
    """Carries them out.

    Attributes:
        operations: What can be asked for, see `amoc.ipc.rpc`.
    """

    def __init__(self, operate: Callable[[Command, str], Answer]) -> None:
        """Have `operate` carry out a command that comes from somewhere."""
        self._operate = operate
        self.operations: Mapping[str, Callable[..., object]] = {
            ADD_USERS: partial(self._later, "add"),
            REMOVE_USERS: partial(self._later, "remove"),
        }

    def _later(self, name: str, _: WorkerId | None, count: int) -> Later:
        """Begin a command, which asks all workers; it answers when they have."""
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
