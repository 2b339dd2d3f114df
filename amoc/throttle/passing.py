"""Passing a throttle: how users, and calls that they defer, wait for their turn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import inf
from typing import NoReturn, Self, TypeVarTuple

import gevent
from gevent import get_hub, getcurrent

from amoc import metrics
from amoc.base import pause
from amoc.base.context import find
from amoc.base.errors import AmocError, ScenarioError
from amoc.base.pause import AnyGreenlet
from amoc.base.waiting import Waiter, check_interrupt
from amoc.base.waiting import wait as wait_for
from amoc.ipc import rpc
from amoc.scenario import pacing
from amoc.throttle import parse_profile
from amoc.throttle import worker as gates
from amoc.throttle.deferred import run_when_passed
from amoc.throttle.permit_stock import Permit
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.token_waiter import Token
from amoc.throttle.worker_queue import WorkerQueue
from amoc.users import mail
from amoc.users.user import User

Ts = TypeVarTuple("Ts")
_OPEN = Mode.OPEN  # an enum member is looked up again at each use
BURST = 100
"""Users that may pass without waiting before the event loop gets a turn."""


class ThrottleTimeout(ScenarioError, TimeoutError):
    """The caller could not pass a throttle within its timeout."""


def wait(name: str, timeout: float = inf) -> None:
    """Wait until the caller may pass the throttle.

    If the throttle limits concurrency, the caller holds a permit until its iteration ends; use
    `permit` to give it back earlier.

    Args:
        name: The throttle.
        timeout: Seconds, not counting pauses of the run.

    Raises:
        UserStopped: The user was asked to stop.
        ThrottleTimeout: It could not pass within `timeout`.
        ScenarioError: The throttle is not started, or was stopped meanwhile; or `timeout` is
            invalid.
    """
    if timeout != inf:
        timeout = parse_profile.check_timeout(name, timeout)
    # A user is woken for one slot with cold caches: each call here costs it a microsecond.
    gate = find(gates.Gate) or gates.current()
    queue = gate.queues.get(name)
    if queue is None or not queue.epoch:
        queue = _find(gate, name)
    if queue.permits and not isinstance(getcurrent(), (User, gevent.Greenlet)):
        raise ScenarioError(
            f"throttle {name} limits concurrency, so only a user can call wait(); elsewhere use"
            " `with throttle.permit(…)`"
        )
    permit = _pass(gate, queue, timeout)
    if permit is not None and isinstance(getcurrent(), gevent.Greenlet):
        _give_back_at_end(gate, getcurrent())


def _give_back_at_end(gate: gates.Gate, caller: AnyGreenlet) -> None:
    if not getattr(caller, "gives_back_at_end", False):  # one link serves all its permits
        caller.gives_back_at_end = True
        caller.rawlink(gate.iteration_ended)


class permit:  # noqa: N801 - it is used like a function
    """Wait for a throttle, and give its permit back at the end of the block.

    Only a throttle that limits concurrency has permits; for others it is the same as `wait`.
    """

    def __init__(self, name: str, timeout: float = inf) -> None:
        self._name = name
        self._timeout = parse_profile.check_timeout(name, timeout)

    def __enter__(self) -> Self:
        gate = gates.current()
        self._queue = _find(gate, self._name)
        self._permit = _pass(gate, self._queue, self._timeout)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._permit is not None:
            gates.current().give_back(getcurrent(), self._queue, self._permit)


def slot(name: str, timeout: float = inf) -> permit:
    """Do what `permit` does, under its former name."""
    warnings.warn("throttle.slot is now throttle.permit", DeprecationWarning, stacklevel=2)
    return permit(name, timeout)


def run(name: str, fn: Callable[[*Ts], object], *args: *Ts) -> None:
    """Run ``fn(*args)`` in a new greenlet when it may pass the throttle; return at once.

    An exception counts like the crash of a user. If the throttle limits concurrency, the permit is
    held until the call ends.

    Raises:
        ScenarioError: Too many calls are waiting in this worker already.
    """
    run_when_passed(_find(gates.current(), name), fn, args)


def send(name: str, message: object, to: int | None = None) -> None:
    """Send `message` to a user's mailbox, the caller's by default, when it may pass.

    The message is sent as it is now; later changes to it have no effect.

    Raises:
        ScenarioError: The message cannot be sent, or `to` is not a user number; or see `run`.
    """
    receiver = to if to is not None else _caller().id
    mail.check_user(receiver)
    message = mail.as_received(message)
    run_when_passed(_find(gates.current(), name), mail.send, (receiver, message))


def send_and_wait(name: str, message: object) -> object:
    """Send `message` to the caller's own mailbox when it may pass, and receive it.

    Nothing else is taken from the mailbox. A form of `wait` for message-driven users.

    Returns:
        The message, as it was when the wait began.

    Raises:
        ScenarioError: The message cannot be sent; or see `wait`.
    """
    _caller()
    message = mail.as_received(message)
    wait(name)
    return message


def _caller() -> User:
    caller = getcurrent()
    if not isinstance(caller, User):
        raise ScenarioError("only a user has a mailbox; name the receiving user with to=")
    return caller


def _pass(gate: gates.Gate, queue: WorkerQueue, timeout: float) -> Permit | None:
    """Wait in `queue`; return the permit if the throttle limits concurrency."""
    caller, hub = getcurrent(), get_hub()
    # The hub cannot wait, and a switch from the hub to itself would be lost.
    if caller is hub:
        raise ScenarioError("a handler runs inside the event loop and must not wait for anything")
    if getattr(caller, "pending_interrupt", None) is not None:
        check_interrupt()
    waiter: Waiter[Token] = Waiter()
    token: Token | None = queue.enter(waiter)
    at_once = token is not None
    if not at_once:
        try:
            wait_for(waiter, timeout, hub)
        finally:
            token = waiter.value
            if token is None:
                queue.leave(waiter)
    if type(token) is not int:
        _refuse(queue, token, timeout)
    permit = None
    if not queue.permits:  # permits have no intended time
        metrics.put_token(caller, token, queue.mode is not _OPEN)
    elif queue.handed is not None:
        permit = gate.hold(caller, queue)
    if at_once:
        try:
            _let_loop_turn(gate)
            pause.wait_resumed()
        except BaseException:
            if permit is not None:
                gate.give_back(caller, queue, permit)
            raise
    return permit


def _refuse(queue: WorkerQueue, token: Token | None, timeout: float) -> NoReturn:
    if isinstance(token, AmocError):
        raise token
    raise ThrottleTimeout(f"throttle {queue.name} did not let the user pass within {timeout:g} s")


def _let_loop_turn(gate: gates.Gate) -> None:
    """Keep users that pass open throttles in a loop from blocking the whole worker."""
    gate.passed_in_a_row += 1
    if gate.passed_in_a_row >= BURST:
        gate.passed_in_a_row = 0
        gevent.sleep(0)


def _find(gate: gates.Gate, name: str) -> WorkerQueue:
    queue = gate.find(name)
    if queue is None:
        # Another worker may have started it just now.
        learn(rpc.ask("throttle.find", parse_profile.check_name(name)))
        queue = gate.find(name)
        if queue is None:  # stopped while the answer was on its way
            raise ScenarioError(f"throttle {name} was stopped")
    return queue


def learn(state: bytes | None) -> None:
    """Process the controller's answer; in init() there is none, and nobody waits there."""
    gate = find(gates.Gate)
    if gate is not None and state:
        gate.handle(state)


pacing.provide(wait)
