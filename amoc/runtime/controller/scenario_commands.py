"""Commands given by a scenario: the load shape of a locustfile adds and removes users."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent

from amoc.base.errors import AmocError
from amoc.control.answers import Answer
from amoc.control.commands import Command, checked
from amoc.ipc.rpc import ADD_USERS, REMOVE_USERS, Later
from amoc.ipc.worker_id import WorkerId
from amoc.results.replay import SCENARIO

_Operate = Callable[[Command, str], Answer]
"""Carries out a command, given its source."""


def operations(operate: _Operate) -> dict[str, Callable[..., object]]:
    """Return the calls of scenarios that are commands, for `amoc.ipc.rpc.RpcServer`."""

    def later(name: str, _: WorkerId | None, count: int) -> Later:
        """Start a command, which asks all workers; return a reply for when they have answered."""
        reply = Later()
        gevent.spawn(_carry_out, operate, checked(name, {"count": count}), reply)
        return reply

    return {ADD_USERS: partial(later, "add"), REMOVE_USERS: partial(later, "remove")}


def _carry_out(operate: _Operate, command: Command, reply: Later) -> None:
    try:
        operate(command, SCENARIO)
    except AmocError as refused:
        reply.done(error=str(refused))
    else:
        reply.done()
