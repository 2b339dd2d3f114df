"""The scenario's view of its run: `from amoc import run, stop_run`.

`run.iteration` is the number of an iteration, unique across the whole run. The workers need not
coordinate: worker w of n assigns w + 1, w + 1 + n, w + 1 + 2 n and so on. It counts them on the
shared board, so that the process that replaces it continues from there.
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
    """Numbers for the iterations of one worker."""

    def __init__(self, given: memoryview[int], worker: int = 0, workers: int = 1) -> None:
        """Continue the worker's sequence.

        Args:
            given: A single cell with the count of numbers assigned; outlives this process.
            worker: The worker's index.
            workers: The number of workers.
        """
        self._given = given
        self._first = worker + 1
        self._step = workers

    def take(self) -> int:
        """Return the next number."""
        given = self._given[0]
        self._given[0] = given + 1  # first: a process killed here must not assign it twice
        return self._first + given * self._step


_outside_a_run = IterationNumbers(memoryview(bytearray(8)).cast("Q"))


def number() -> int:
    """Return the number of the calling user's iteration, from 1, unique across the run."""
    me = current()
    if me.numbered != me.iteration:
        numbers = find(IterationNumbers) or _outside_a_run
        me.numbered, me.run_iteration = me.iteration, numbers.take()
    return me.run_iteration


def stop_run(reason: str) -> None:
    """End the whole run gracefully, as ``amoc stop`` does; for users, their handlers and init().

    All users are asked to stop, including the caller. The run's verdict is ``stopped`` unless it
    is worse. Only the first of several calls counts.

    Args:
        reason: Shown in the journal, to the operator and in the verdict.

    Raises:
        ScenarioError: `reason` is empty, too long or not text.
        ClosedError: There is no run.
    """
    if not isinstance(reason, str) or not reason.strip() or len(reason) > MAX_REASON:
        raise ScenarioError(
            f"stop_run() requires a reason, text of 1 to {MAX_REASON:,} characters, got"
            f" {cut(reason)}"
        )
    if find(rpc.Handler) is None:
        raise ClosedError(
            "stop_run() can be called in users, their handlers and init(), but there is no run to"
            " stop here (to try it, use amoc check --run)"
        )
    ask: Callable[..., object] = rpc.ask
    if getcurrent() is get_hub():
        gevent.spawn(ask, STOP, reason)  # a handler in the event loop must not wait
    else:
        ask(STOP, reason)
