"""The calls with which a scenario uses coordinators: start, add, reset, stop, state, barrier.

The controller carries them out (`amoc.ipc.rpc`). Adds and waits at barriers go through the worker's
side (`amoc.coordinator.worker`), found in its context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, overload

import gevent
from gevent import get_hub, getcurrent

from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.context import find
from amoc.base.errors import ClosedError, PeerError, ScenarioError
from amoc.base.names import check_name
from amoc.base.waiting import wait
from amoc.coordinator import init_plans
from amoc.coordinator.controller import SCOPES
from amoc.coordinator.function_refs import found, references
from amoc.coordinator.plan import MAX_USERS, parse
from amoc.coordinator.worker import Actions
from amoc.ipc import rpc
from amoc.ipc.messages.coordinator import CoordinatorState
from amoc.metrics.coordinator_counts import Counted
from amoc.users.user import current

ROOM_S = 60.0
"""How long an add may wait until it can leave its worker."""

_Actions = Callable[..., object] | Sequence[Callable[..., object]]
_Item = tuple[int | tuple[int, int] | str, _Actions]


def start(name: str, plan: _Item | list[_Item], timeout: float = 30.0, scope: str = "run") -> None:
    """Start a coordinator, in init() or by a user.

    Args:
        name: Its name in the whole run; any text of up to 200 characters.
        plan: ``(size, actions)``, or a list of these pairs. The size is a number of users,
            ``(min, max)`` for a random number in each group, or ``"all"``. Actions are a function
            or a list of functions that take ``(event)``, ``(event, users)`` or ``(event, user_a,
            user_b)``.
        timeout: Seconds after the last add until groups end incomplete; ``inf`` means never.
        scope: ``run``, or ``node`` to group users within each node.

    Raises:
        ScenarioError: It is already started, or an argument is invalid.
    """
    check_name("coordinator", name)
    items = parse(name, plan)
    _check_timeout(f"coordinator {name}", timeout)
    if scope not in SCOPES:
        raise ScenarioError(
            f'the scope of coordinator {name} must be "run" or "node", got {scope!r}'
        )
    shapes = [item.shape for item in items]
    timeout_s = None if timeout == inf else float(timeout)
    here = find(Actions)
    if here is None:
        init_plans.start(name, items)
        rpc.ask("coordinator.start", name, shapes, timeout_s, scope, None)
        return
    functions = None if here.alone else references(name, items)
    incarnation = rpc.ask("coordinator.start", name, shapes, timeout_s, scope, functions)
    here.learn(name, incarnation, items)
    pause.wait_resumed()


@overload
def add(name: str, data: object = ..., /) -> None: ...
@overload
def add(name: str, user: int, data: object, /) -> None: ...
def add(name: str, /, *arguments: object) -> None:
    """Add a user to a coordinator: ``add(name)``, ``add(name, data)`` or ``add(name, user, data)``.

    It does not wait for an answer. It waits while the run is paused, and while the controller is
    not reading and so much is queued that memory would fill. A user that adds a thousand in a row
    yields to the others. Actions see the user as ``(id, data)``.

    Args:
        name: The coordinator.
        arguments: Data about the user for the actions, by default None: numbers, text, bytes, lists
            (which arrive as tuples) and dictionaries. Before the data the user's id, if it is not
            the caller.

    Raises:
        ScenarioError: The coordinator is not started, or the data cannot be sent.
        PeerError: The controller has read nothing for 60 s; or it is not reading, and the caller is
            a handler in the event loop, which cannot wait.
    """
    here = _here(f"add({name!r})")
    match arguments:
        case ():
            user_id, data = current().id, None
        case (data,):
            user_id = current().id
        case (user_id, data):
            if type(user_id) is not int or user_id < 1:
                raise ScenarioError(
                    f"a user added to coordinator {name} must be given by its id, got {user_id!r}"
                )
        case _:
            raise TypeError(f"add() takes (name, data) or (name, user, data), not {arguments!r}")
    if not here.room.is_open:
        _wait_for_room(here, name)
    if name not in here.adding:
        _find(here, name)
    if here.add(name, user_id, data) and getcurrent() is not get_hub():
        gevent.sleep(0)
    pause.wait_resumed()


def _wait_for_room(here: Actions, name: str) -> None:
    """Wait until an add can leave the worker.

    The controller may be stalled, or stopped by Ctrl-Z. Adds then fill the node's memory, until the
    node tells its workers to hold back, or the worker's own.
    """
    in_handler = getcurrent() is get_hub()
    until_ns = pause.clock.run_ns() + int(ROOM_S * S_NS)
    while not here.room.is_open:  # other users may have filled it again first
        left_s = (until_ns - pause.clock.run_ns()) / S_NS
        if in_handler or left_s <= 0:
            here.counters(name)[Counted.ADDS_REFUSED].inc()
            when = "at once (a handler must not wait)" if in_handler else f"within {ROOM_S:g} s"
            raise PeerError(
                f"an add to coordinator {name} could not be sent from worker {here.worker.worker}"
                f" {when}: the controller is not reading, and too many messages are queued"
            )
        here.room.wait(left_s, wait)


def _find(here: Actions, name: str) -> None:
    """Look it up: another worker's user may have started it just now, or stopped it."""
    incarnation, functions = rpc.ask("coordinator.find", name)
    if functions is None:
        raise ScenarioError(f"coordinator {name} was stopped")
    here.learn(name, incarnation, found(functions))


def reset(name: str, timeout: float = 60.0) -> None:
    """End the groups of a coordinator as they are; their actions run with a ``reset`` event.

    Return when these actions, and those of earlier groups, have returned. Called from an action, it
    does not wait, because it would wait for itself. A greenlet that an action waits for must not
    call it.

    Args:
        name: The coordinator.
        timeout: Seconds that the actions may take.

    Raises:
        UserStopped: The user was asked to stop. The groups have ended all the same.
        PeerError: The actions have not returned within `timeout` seconds.
        ScenarioError: The coordinator is not started.
    """
    _end("coordinator.reset", name, timeout)


def stop(name: str, timeout: float = 60.0) -> None:
    """End a coordinator; the actions of its last groups run with a ``stop`` event.

    Returns and raises like `reset`.
    """
    if find(Actions) is None:
        init_plans.stop(name)
    _end("coordinator.stop", name, timeout)


def _end(operation: str, name: str, timeout: float) -> None:
    _check_timeout(operation, timeout)
    here = find(Actions)
    if here is None or here.is_acting():
        _ask(operation, name)
        return
    try:
        _ask(operation, name, True, timeout_s=timeout, interruptible=True)
    except rpc.NoAnswer:
        raise PeerError(
            f"{operation} of {name} did not finish within {timeout:g} s: not all of its actions"
            " have returned"
        ) from None


def state(name: str) -> CoordinatorState:
    """Return a coordinator's state. Not available in init(), where nothing has started yet.

    Raises:
        ScenarioError: It is not started.
    """
    return CoordinatorState(*_ask("coordinator.state", name))


def _ask(  # Any: as for `rpc.ask`
    operation: str,
    name: str,
    *arguments: object,
    timeout_s: float = rpc.TIMEOUT_S,
    interruptible: bool = False,
) -> Any:
    here = find(Actions)
    if here is None:
        if operation != "coordinator.stop":
            init_plans.check(name)
    else:
        here.flush()  # earlier adds of this worker must count
    answer = rpc.ask(operation, name, *arguments, timeout_s=timeout_s, interruptible=interruptible)
    pause.wait_resumed()
    return answer


def barrier(name: str, n: int, timeout: float = inf) -> None:
    """Wait until `n` users are at this barrier, then let all go on; it can be used again.

    On one host all of them are released at the same moment, and go on within 100 ms of each other
    if the first thing they do is short.

    Args:
        name: The barrier; it does not need to be started.
        n: The number of users, the same in all their calls.
        timeout: Seconds to wait.

    Raises:
        UserStopped: The user was asked to stop.
        BarrierTimeout: Too few users came in time. The caller no longer counts for the others.
        ScenarioError: Others wait there for another number of users.
    """
    check_name("barrier", name)
    if type(n) is not int or not 1 <= n <= MAX_USERS:
        raise ScenarioError(f"barrier {name} must be for 1 to {MAX_USERS:,} users, got {n!r}")
    _check_timeout(f"barrier {name}", timeout)
    _here(f"barrier({name!r})").barriers.wait(name, n, timeout)


def _here(call: str) -> Actions:
    """Return the worker's side, for a call that only users can make."""
    here = find(Actions)
    if here is None:
        raise ClosedError(
            f"coordinator.{call} is available only to users of a run, and not in init()"
        )
    return here


def _check_timeout(of: str, seconds: object) -> None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise ScenarioError(f"the timeout of {of} must be more than 0 s, got {seconds!r}")
