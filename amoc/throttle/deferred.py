"""What runs by itself when a throttle lets it through: `throttle.run` and `throttle.send`.

Nothing is spawned before it may run: what waits is a function and its arguments, and of these a
worker holds no more than `MAX_TASKS`. A task that raises is counted like a user that crashes, by
whoever said so with `count_crashes`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import gevent
from gevent import getcurrent

from amoc import metrics
from amoc.base import pause
from amoc.base.errors import AmocError, ScenarioError
from amoc.throttle import worker as gates
from amoc.throttle.worker_queue import OnToken, Token, WorkerQueue

__all__ = ["count_crashes", "run_when_let_through"]

MAX_TASKS = 100_000
"""Tasks of one worker that wait for a throttle."""

_waiting = 0
_crashed: Callable[[BaseException], object] = traceback.print_exception


def count_crashes(crashed: Callable[[BaseException], object]) -> None:
    """Let `crashed` count and log what tasks raise."""
    global _crashed
    _crashed = crashed


def run_when_let_through(
    queue: WorkerQueue, fn: Callable[..., object], args: tuple[Any, ...]
) -> None:
    """Run ``fn(*args)`` in a greenlet of its own when `queue` lets it through.

    Raises:
        ScenarioError: `MAX_TASKS` wait already.
    """
    global _waiting
    pause.wait_resumed()
    if _waiting >= MAX_TASKS:
        raise ScenarioError(
            f"throttle {queue.name}: at most {MAX_TASKS} runs of a worker may wait for"
            " throttles, and so many do"
        )
    gate = gates.current()

    def let_through(token: Token) -> None:
        global _waiting
        _waiting -= 1
        begin(token)

    def begin(token: Token) -> None:
        if isinstance(token, AmocError):
            _crashed(token)
            return
        task: gevent.Greenlet[..., None] = gevent.Greenlet(_run, fn, args)
        if queue.permits and queue.handed is not None:
            gate.hold(task, queue)
        if not queue.permits:
            metrics.put_token(task, token)
        task.start()

    token = gate.enter_at(queue, OnToken(let_through))
    if token is None:
        _waiting += 1
    else:
        begin(token)


def _run(fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        pause.wait_resumed()
        fn(*args)
    except Exception as error:
        _crashed(error)
    finally:
        gates.iteration_ended(getcurrent())
