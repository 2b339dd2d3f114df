"""Calls deferred until they may pass a throttle: `throttle.run` and `throttle.send`.

Nothing is spawned before it may run: only a function and its arguments wait, at most `MAX_TASKS` in
a worker. A task that raises counts as a crash, like that of a user (`Gate.on_crash`).
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import getcurrent

from amoc import metrics
from amoc.base import guard, pause
from amoc.base.errors import AmocError, ScenarioError
from amoc.throttle import worker as gates
from amoc.throttle.token_waiter import OnToken, Token
from amoc.throttle.worker_queue import WorkerQueue

MAX_TASKS = 100_000
"""Most tasks of one worker that can wait for throttles."""


class _Task(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """A task that keeps running when the user that started it ends."""

    outlives_users = True


def run_when_passed(
    queue: WorkerQueue, fn: Callable[..., object], args: tuple[object, ...]
) -> None:
    """Run ``fn(*args)`` in a new greenlet when it may pass `queue`.

    Raises:
        ScenarioError: `MAX_TASKS` are waiting already.
    """
    gate = gates.current()
    pause.wait_resumed()
    if gate.tasks >= MAX_TASKS:
        raise ScenarioError(
            f"throttle {queue.name}: at most {MAX_TASKS} calls of run() and send() may"
            " wait in a worker, and that many already do"
        )

    def passed(token: Token) -> None:
        gate.tasks -= 1
        begin(token)

    def begin(token: Token) -> None:
        if isinstance(token, AmocError):
            gate.on_crash(token)
            return
        task = _Task(_run, gate, fn, args)
        if queue.permits and queue.handed is not None:
            gate.hold(task, queue)
        if not queue.permits:
            metrics.put_token(task, token)
        task.start()

    token = queue.enter(OnToken(passed))
    if token is None:
        gate.tasks += 1
    else:
        begin(token)


def _run(gate: gates.Gate, fn: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        pause.wait_resumed()
        guard.call(gate.on_crash, fn, *args)
    finally:
        gate.iteration_ended(getcurrent())
