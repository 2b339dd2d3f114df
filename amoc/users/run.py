"""What a scenario asks of its run: `from amoc import run, stop_run`.

`run.iteration` is a number that each iteration has for itself over the whole run. Nobody deals
them: worker w of n gives out w + 1, w + 1 + n, w + 1 + 2 n and so on, and notes on the board how
many it has given out, where the process that replaces it goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import get_hub, getcurrent

from amoc.base.context import find
from amoc.base.errors import ClosedError, ScenarioError
from amoc.base.text import cut
from amoc.ipc import rpc
from amoc.users.user import current

STOP = "run.stop"
"""The controller's operation that ends the run."""
MAX_REASON = 1_000


class IterationNumbers:
    """Numbers the iterations of one worker."""

    def __init__(self, given: memoryview[int], worker: int = 0, workers: int = 1) -> None:
        """Give out the numbers of a worker.

        Args:
            given: One cell: how many it has given out, whose value outlives this process.
            worker: Its index.
            workers: How many there are.
        """
        self._given = given
        self._first = worker + 1
        self._step = workers

    def take(self) -> int:
        """The next number."""
        given = self._given[0]
        self._given[0] = given + 1  # first, so that a process that is killed gives it out once
        return self._first + given * self._step


_outside_a_run = IterationNumbers(memoryview(bytearray(8)).cast("Q"))


def number() -> int:
    """The number of the calling user's iteration, which no other of the run has; from 1."""
    me = current()
    if me.numbered != me.iteration:
        numbers = find(IterationNumbers) or _outside_a_run
        me.numbered, me.run_iteration = me.iteration, numbers.take()
    return me.run_iteration


def stop_run(reason: str) -> None:
    """End the whole run gracefully, as ``amoc stop`` does; in a user, its handlers, or init().

    Users are asked to stop, the caller too; the run's verdict is ``stopped`` unless it is worse. Of
    several calls the first one counts.

    Args:
        reason: Why, for the journal, the operator and the verdict.

    Raises:
        ScenarioError: There is no reason.
        ClosedError: There is no run.
    """
    if not isinstance(reason, str) or not reason.strip() or len(reason) > MAX_REASON:
        raise ScenarioError(
            f"stop_run() must be given a reason, text of 1 to {MAX_REASON:,} characters, got"
            f" {cut(reason)}"
        )
    if find(rpc.Handler) is None:
        raise ClosedError(
            "stop_run() can be called in users, their handlers and init(); here there is no run to"
            " stop (to try it, use amoc check --run)"
        )
    ask: Callable[..., object] = rpc.ask
    if getcurrent() is get_hub():
        gevent.spawn(ask, STOP, reason)  # a handler in the event loop must not wait
    else:
        ask(STOP, reason)
