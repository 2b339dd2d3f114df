"""What runs by itself when it may pass a throttle: `throttle.run` and `throttle.send`.

Nothing is spawned before it may run: what waits is a function and its arguments, and of these a
worker holds no more than `MAX_TASKS`. A task that raises is counted like a user that crashes
(`Gate.on_crash`).
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
"""Tasks of one worker that wait for a throttle."""


class _Task(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Runs by itself, whatever becomes of the user that has begun it."""

    outlives_users = True


def run_when_passed(
    queue: WorkerQueue, fn: Callable[..., object], args: tuple[object, ...]
) -> None:
    """Run ``fn(*args)`` in a greenlet of its own when it may pass `queue`.

    Raises:
        ScenarioError: `MAX_TASKS` wait already.
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
