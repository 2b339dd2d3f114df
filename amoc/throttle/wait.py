"""Passing a throttle: how users, and what they leave to run by itself, wait in line.

A user that waits is parked in the hub, and its `switch` stands in line at the worker's turnstile.
Three may end the wait: a token, the time-out's timer, and being asked to leave; all of them switch
to it from the hub, and whoever comes first takes the others back before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Self

import gevent
from gevent import get_hub, getcurrent

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import now_ns
from amoc.base.errors import AmocError, ScenarioError
from amoc.ipc import rpc
from amoc.ipc.messages import THROTTLE_TO_WORKER
from amoc.throttle import parse_profile
from amoc.throttle import worker as gates
from amoc.throttle.deferred import run_when_let_through
from amoc.throttle.worker_queue import Permit, WorkerQueue
from amoc.users import mail
from amoc.users.user import Leaving, User

__all__ = ["ThrottleTimeout", "learn", "run", "send", "send_and_wait", "slot", "wait"]

BURST = 100
"""Users let through without a wait before the loop turns."""
PAUSED_S = 0.02
"""While the run is paused a time-out does not run; how often is looked whether it still is."""


class ThrottleTimeout(ScenarioError, TimeoutError):
    """A throttle has not let the caller through within its time-out."""


def wait(name: str, timeout: float = inf) -> None:
    """Wait until the throttle lets the caller through.

    A throttle that limits how many pass at the same time (interval 0) has the caller's place back
    when its iteration ends; to give it back before, use `slot`.

    Args:
        name: The throttle.
        timeout: Seconds; pauses of the run do not count.

    A user that is asked to leave, or was before, waits no more: its iteration ends here.

    Raises:
        ThrottleTimeout: It has not, within `timeout`.
        ScenarioError: It is not started, or was stopped meanwhile; or `timeout` is no time.
    """
    timeout = parse_profile.check_timeout(name, timeout)
    turnstile = _find(name)
    if turnstile.permits and not isinstance(getcurrent(), (User, gevent.Greenlet)):
        raise ScenarioError(
            f"throttle {name} limits how many pass at the same time; only a user can wait for it"
            " so, others use `with throttle.slot(…)`"
        )
    permit = _pass(turnstile, timeout)
    if permit is not None and isinstance(getcurrent(), gevent.Greenlet):
        _give_back_at_end(getcurrent())


def _give_back_at_end(caller: Any) -> None:
    if not getattr(caller, "gives_back_at_end", False):  # once is enough for all that it holds
        caller.gives_back_at_end = True
        caller.rawlink(gates.iteration_ended)


class slot:  # noqa: N801 - it is used like a function
    """Wait for a throttle, and give the place back at the end of the block.

    Only a throttle with interval 0 has places to give back; with others it is the same as `wait`.
    """

    def __init__(self, name: str, timeout: float = inf) -> None:
        self._name = name
        self._timeout = parse_profile.check_timeout(name, timeout)

    def __enter__(self) -> Self:
        self._turnstile = _find(self._name)
        self._permit = _pass(self._turnstile, self._timeout)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._permit is not None:
            gates.current().give_back(getcurrent(), self._turnstile, self._permit)


def run(name: str, fn: Callable[..., object], *args: Any) -> None:
    """Run ``fn(*args)`` in a new greenlet when the throttle lets it through; does not wait.

    What it raises is counted like the crash of a user. A place that is limited (interval 0) is held
    until it ends.

    Raises:
        ScenarioError: Too many wait to be run in this worker already.
    """
    run_when_let_through(_find(name), fn, args)


def send(name: str, message: object, to: int | None = None) -> None:
    """Send `message` to a user's mailbox, the caller's if not said, when let through.

    What is sent is the message as it is now, whatever becomes of it while it waits.

    Raises:
        ScenarioError: The message cannot be sent, or `to` is no number; or see `run`.
    """
    receiver = to if to is not None else _caller().id
    mail.check_user(receiver)
    message = mail.as_it_arrives(message)
    run_when_let_through(_find(name), mail.send, (receiver, message))


def send_and_wait(name: str, message: object) -> Any:
    """Send `message` to the caller's own mailbox when let through, and receive it.

    Nothing else is taken out of the mailbox. It is `wait` for those whose life is messages.

    Returns:
        The message, as it was when the wait began.

    Raises:
        ScenarioError: The message cannot be sent; or see `wait`.
    """
    _caller()
    message = mail.as_it_arrives(message)
    wait(name)
    return message


def _caller() -> User:
    caller = getcurrent()
    if not isinstance(caller, User):
        raise ScenarioError("only a user has a mailbox; say which user it is for")
    return caller


class _InPlaceOfAToken:
    """What a waiter can be given to end its wait."""


_TIMED_OUT = _InPlaceOfAToken()
_TO_LEAVE = _InPlaceOfAToken()


def _pass(turnstile: WorkerQueue, timeout: float) -> Permit | None:
    """Wait in line; the permit, if it is a throttle of permits."""
    gate = gates.current()
    caller = getcurrent()
    # A hub cannot wait, and a switch to it from itself would be lost.
    if caller is get_hub():
        raise ScenarioError("a handler runs inside the event loop and must not wait for anything")
    if isinstance(caller, User) and caller.leave:
        raise Leaving
    switch = caller.switch
    token: Any = gate.enter_at(turnstile, switch)
    at_once = token is not None
    if not at_once:
        token = _park(gate, turnstile, switch, timeout)
    permit = None
    if turnstile.permits and turnstile.handed is not None:
        permit = gate.hold(caller, turnstile)
    if not turnstile.permits:  # those have no slots, so nothing was meant to begin at any time
        metrics.put_token(caller, token)
    try:
        if at_once:
            _let_loop_turn()
        pause.wait_resumed()
    except BaseException:
        if permit is not None:
            gate.give_back(caller, turnstile, permit)
        raise
    return permit


_unbroken = 0


def _let_loop_turn() -> None:
    """Who passes open throttles again and again must not stop the whole worker by it."""
    global _unbroken
    _unbroken += 1
    if _unbroken >= BURST:
        _unbroken = 0
        gevent.sleep(0)


def _clock_ns() -> int:
    """The run's own time, in which pauses do not count."""
    return now_ns() - pause.frozen_ns()


def _park(gate: gates.Gate, turnstile: WorkerQueue, switch: Any, timeout: float) -> int:
    hub = get_hub()
    begun_ns = _clock_ns() if timeout < inf else 0
    waiting = True
    timer = None
    user: User | None = caller if isinstance(caller := getcurrent(), User) else None
    try:
        if user is not None:
            user.on_leave = partial(switch, _TO_LEAVE)
        while True:
            if timeout < inf:
                left_s = timeout - (_clock_ns() - begun_ns) / 1e9
                timer = hub.loop.timer(max(left_s, PAUSED_S if pause.paused() else 0.0))
                timer.start(switch, _TIMED_OUT)
            try:
                got = hub.switch()
            finally:
                if timer is not None:
                    timer.stop()
                    timer.close()
            if type(got) is int:
                waiting = False
                return got
            if isinstance(got, AmocError):
                waiting = False
                raise got
            if got is _TO_LEAVE:
                raise Leaving
            if got is _TIMED_OUT and _clock_ns() - begun_ns >= timeout * 1e9:
                raise ThrottleTimeout(
                    f"throttle {turnstile.name} must let the caller through within {timeout:g} s,"
                    " but has not"
                )
    finally:
        if user is not None:
            user.on_leave = None
        if waiting:
            gate.leave_at(turnstile, switch)


def _find(name: str) -> WorkerQueue:
    gate = gates.current()
    turnstile = gate.find(name)
    if turnstile is None:
        # Another worker may just have started it.
        learn(rpc.ask("throttle.find", parse_profile.check_name(name)))
        turnstile = gate.find(name)
        if turnstile is None:  # and stopped while the answer was on its way
            raise ScenarioError(f"throttle {name} was stopped")
    return turnstile


def learn(state: Any) -> None:
    """Take what the controller has answered; in init() that is nothing, and nobody waits there."""
    gate = gates.attached()
    if gate is not None and state:
        gate.learn([THROTTLE_TO_WORKER.from_wire(one) for one in state])
