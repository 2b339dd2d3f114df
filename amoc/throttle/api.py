"""What a scenario calls: `from amoc import throttle`.

A throttle is known by its name over the whole run. init(), or any user, starts it; all users of all
workers pass through it together:

    throttle.start("logins", 600)                   # 600 a minute
    throttle.wait("logins")                         # in a user

Durations are seconds. What is refused raises `ScenarioError`, in init() when the run is about to
start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Self

import gevent
from gevent import get_hub, getcurrent

from amoc import calls, mail, messages, metrics, pausing
from amoc.errors import AmocError, ScenarioError
from amoc.throttle import gate as gates
from amoc.throttle import shapes
from amoc.throttle.named import ThrottleState
from amoc.throttle.tasks import run_when_let_through
from amoc.throttle.turnstile import Permit, Turnstile
from amoc.timing import now_ns
from amoc.user import Leaving, User

MINUTE_S = 60.0
BURST = 100
"""Users let through without a wait before the loop turns."""
PAUSED_S = 0.02
"""While the run is paused a time-out does not run; how often is looked whether it still is."""


class ThrottleTimeout(ScenarioError, TimeoutError):
    """A throttle has not let the caller through within its time-out."""


# What a throttle is


def start(
    name: str,
    rate: float | None = None,
    interval: float = MINUTE_S,
    *,
    interarrival: float | None = None,
    stages: str | None = None,
) -> None:
    """Start a throttle for the whole run.

    Args:
        name: Letters, digits, ``_``, ``.`` and ``-``.
        rate: How many may pass per `interval`; 0 holds all, ``inf`` holds none.
        interval: Seconds; 0 means that `rate` may pass at the same time.
        interarrival: Seconds between two, in place of `rate`.
        stages: How the rate goes, in place of `rate`: ``30s:100, 2m:1000``.

    Raises:
        ScenarioError: It makes no sense, or there is a throttle of that name.
    """
    shapes.check_name(name)
    given = [one for one in (rate, interarrival, stages) if one is not None]
    if len(given) != 1:
        raise ScenarioError(
            f"throttle {name} must be given one of rate, interarrival and stages, but has"
            f" {len(given)} of them"
        )
    interval = shapes.check_interval(name, interval)
    shape: list[Any] = ["stages", stages]
    if stages is None:
        shape = ["constant", _rate_of(name, rate, interarrival, interval)]
    shapes.build(name, shape, interval)
    _learn(calls.ask("throttle.start", name, shape, interval))


def change_rate(
    name: str,
    rate: float | None = None,
    interval: float | None = None,
    *,
    interarrival: float | None = None,
) -> None:
    """Change the rate, from now on; ends an `unlock` and any gradual change.

    Args:
        name: The throttle.
        rate: How many may pass per `interval`.
        interval: Seconds; as it was if not given.
        interarrival: Seconds between two, in place of `rate`.
    """
    per_s = MINUTE_S if interval is None and interarrival is not None else interval
    value = _rate_of(name, rate, interarrival, MINUTE_S if per_s is None else per_s)
    calls.ask("throttle.change_rate", shapes.check_name(name), value, per_s)


def change_rate_gradually(
    name: str,
    *,
    from_rate: float | None = None,
    to_rate: float | None = None,
    interval: float | None = None,
    duration: float | None = None,
    step_interval: float | None = None,
    step_count: int | None = None,
    from_interarrival: float | None = None,
    to_interarrival: float | None = None,
) -> None:
    """Change the rate little by little.

    Args:
        name: The throttle.
        from_rate: Where it begins; where it is, if not given.
        to_rate: Where it ends, and stays.
        interval: What the rates are per, in seconds; as it was if not given.
        duration: How long it takes, in a straight line. Or in steps:
        step_interval: How long a step lasts.
        step_count: How many steps there are; the first change comes after the first of them.
        from_interarrival: Seconds between two, in place of `from_rate`.
        to_interarrival: Seconds between two, in place of `to_rate`. The rate goes in a straight
            line, not the time between.
    """
    shapes.check_name(name)
    if interval is None and to_interarrival is not None:
        interval = MINUTE_S
    per_s = MINUTE_S if interval is None else interval
    last = _rate_of(name, to_rate, to_interarrival, per_s, which="to_")
    first = None
    if from_rate is not None or from_interarrival is not None:
        first = _rate_of(name, from_rate, from_interarrival, per_s, which="from_")
    given = (duration is not None, step_interval is not None, step_count is not None)
    if given not in ((True, False, False), (False, True, True)):
        raise ScenarioError(
            f"throttle {name} must be changed within either duration, or step_interval and"
            " step_count"
        )
    shape: list[Any] = ["stairs", first, last, step_interval, step_count]
    if duration is not None:
        shape = ["ramp", first, last, duration]
    calls.ask("throttle.change_shape", name, shape, interval)


def steps(name: str, rates: Sequence[tuple[float, float]], interval: float | None = None) -> None:
    """Let the rate go through a list of (rate, seconds); the last rate stays."""
    shape = ["steps", [list(step) for step in rates]]
    calls.ask("throttle.change_shape", shapes.check_name(name), shape, interval)


def sine(name: str, low: float, high: float, period: float, interval: float | None = None) -> None:
    """Let the rate swing between `low` and `high`, from the middle upwards, until it is changed."""
    shape = ["sine", low, high, period]
    calls.ask("throttle.change_shape", shapes.check_name(name), shape, interval)


def stages(name: str, text: str, interval: float | None = None) -> None:
    """Let the rate follow stages such as ``30s:100, 2m:1000``, from 0."""
    calls.ask("throttle.change_shape", shapes.check_name(name), ["stages", text], interval)


def pause(name: str) -> None:
    """Let nobody through until `resume`; a gradual change goes on counting meanwhile."""
    calls.ask("throttle.pause", shapes.check_name(name))


def resume(name: str) -> None:
    """Back to what is configured, after `pause` or `unlock`."""
    calls.ask("throttle.resume", shapes.check_name(name))


def unlock(name: str) -> None:
    """Let everybody through until `resume` or another rate."""
    calls.ask("throttle.unlock", shapes.check_name(name))


def stop(name: str) -> None:
    """End the throttle; who waits for it gets a `ScenarioError`. Its name is free again."""
    calls.ask("throttle.stop", shapes.check_name(name))


def state(name: str) -> ThrottleState:
    """How the throttle is."""
    return ThrottleState(*calls.ask("throttle.state", shapes.check_name(name)))


def _rate_of(name: str, rate: Any, interarrival: Any, interval_s: float, which: str = "") -> float:
    if (rate is None) is (interarrival is None):
        raise ScenarioError(
            f"throttle {name} must be given either {which}rate or {which}interarrival"
        )
    if interarrival is None:
        return shapes.check_rate(name, rate, interval_s)
    seconds = shapes.check_seconds(name, "interarrival", interarrival)
    if not interval_s:
        raise ScenarioError(
            f"throttle {name} limits how many pass at the same time, so it has no interarrival"
        )
    return shapes.check_rate(name, interval_s / seconds if seconds else inf, interval_s)


# Passing


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
        ScenarioError: It is not started, or was stopped meanwhile.
    """
    turnstile = _find(name)
    if turnstile.permits and not isinstance(getcurrent(), (User, gevent.Greenlet)):
        raise ScenarioError(
            f"throttle {name} limits how many pass at the same time; only a user can wait for it"
            " so, others use `with throttle.slot(…)`"
        )
    _pass(turnstile, timeout)


class slot:  # noqa: N801 - it is used like a function
    """Wait for a throttle, and give the place back at the end of the block.

    Only a throttle with interval 0 has places to give back; with others it is the same as `wait`.
    """

    def __init__(self, name: str, timeout: float = inf) -> None:
        self._name = name
        self._timeout = timeout

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
    """Send `message` to a user's mailbox, the caller's if not said, when let through."""
    receiver = to if to is not None else _caller().id
    run_when_let_through(_find(name), mail.send, (receiver, message))


def send_and_wait(name: str, message: object) -> Any:
    """Send `message` to the caller's own mailbox when let through, and receive it.

    Nothing else is taken out of the mailbox. It is `wait` for those whose life is messages.

    Returns:
        The message.
    """
    _caller()
    wait(name)
    return messages.unpack(messages.pack(message))  # as it would have arrived


def _caller() -> User:
    caller = getcurrent()
    if not isinstance(caller, User):
        raise ScenarioError("only a user has a mailbox; say which user it is for")
    return caller


class _InPlaceOfAToken:
    """What a waiter can be given to end its wait."""


_TIMED_OUT = _InPlaceOfAToken()
_TO_LEAVE = _InPlaceOfAToken()


def _pass(turnstile: Turnstile, timeout: float) -> Permit | None:
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
    if token is None:
        token = _park(gate, turnstile, switch, timeout)
    else:
        _let_loop_turn()
    permit = None
    if turnstile.permits and turnstile.handed is not None:
        permit = gate.hold(caller, turnstile)
        if isinstance(caller, gevent.Greenlet):
            caller.rawlink(gates.iteration_ended)
    if not turnstile.permits:  # those have no slots, so nothing was meant to begin at any time
        metrics.put_token(caller, token)
    try:
        pausing.wait_resumed()
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
    return now_ns() - pausing.frozen_ns()


def _park(gate: gates.Gate, turnstile: Turnstile, switch: Any, timeout: float) -> int:
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
                timer = hub.loop.timer(max(left_s, PAUSED_S if pausing.paused() else 0.0))
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


def _find(name: str) -> Turnstile:
    gate = gates.current()
    turnstile = gate.find(name)
    if turnstile is None:
        # Another worker may just have started it.
        _learn(calls.ask("throttle.find", shapes.check_name(name)))
        turnstile = gate.turnstile(name)
    return turnstile


def _learn(state: Any) -> None:
    """Take what the controller has answered; in init() that is nothing, and nobody waits there."""
    gate = gates.attached()
    if gate is not None and state:
        gate.learn([messages.from_wire(one) for one in state])


__all__ = [
    "ThrottleState",
    "ThrottleTimeout",
    "change_rate",
    "change_rate_gradually",
    "pause",
    "resume",
    "run",
    "send",
    "send_and_wait",
    "sine",
    "slot",
    "stages",
    "start",
    "state",
    "steps",
    "stop",
    "unlock",
    "wait",
]
