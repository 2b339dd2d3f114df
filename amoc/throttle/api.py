"""The calls with which a scenario starts and changes throttles: `from amoc import throttle`.

A throttle has one name in the whole run. Start it in init() or in any user; the users of all
workers share its limit:

    throttle.start("logins", 600)                   # 600 a minute
    throttle.wait("logins")                         # in a user

    throttle.limit_concurrency("uploads", 20)       # 20 at the same time
    with throttle.permit("uploads"):                # in a user
        ...

Durations are in seconds. Invalid arguments raise `ScenarioError`; those of calls in init() are
checked when the run is about to start. Calls that change a throttle return when the change is in
force in all workers, about 40 ms later, or with ``wait=False`` as soon as the controller has
accepted it. Calls in init() return at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from amoc.base.errors import ScenarioError
from amoc.ipc import rpc
from amoc.throttle import parse_profile
from amoc.throttle.passing import learn
from amoc.throttle.throttle import ThrottleState

MINUTE_S = 60.0


def start(
    name: str,
    rate: float | None = None,
    interval: float = MINUTE_S,
    *,
    interarrival: float | None = None,
    stages: str | None = None,
) -> str:
    """Start a throttle for the whole run.

    Args:
        name: Up to 200 characters.
        rate: Users that may pass per `interval`; 0 lets none pass, ``inf`` sets no limit.
        interval: Seconds; 0 means the same as `limit_concurrency`.
        interarrival: Seconds between two passes, instead of `rate`; ``inf`` lets none pass.
        stages: Stages of the rate, instead of `rate`: ``30s:100, 2m:1000``.

    Returns:
        ``started``, or ``already started`` if it was started with the same arguments before.

    Raises:
        ScenarioError: An argument is invalid, or it was started with other arguments.
    """
    parse_profile.check_name(name)
    given = [one for one in (rate, interarrival, stages) if one is not None]
    if len(given) != 1:
        raise ScenarioError(
            f"throttle {name} must be given one of rate, interarrival and stages, got"
            f" {len(given)} of them"
        )
    interval = parse_profile.check_interval(name, interval)
    shape: list[object] = ["stages", stages]
    if stages is None:
        shape = ["constant", _rate_of(name, rate, interarrival, interval)]
    parse_profile.build(name, shape, interval)
    is_new, state = rpc.ask("throttle.start", name, shape, interval)
    learn(state)
    return "started" if is_new else "already started"


def limit_concurrency(name: str, n: int) -> str:
    """Start a throttle that limits concurrency to `n` users over the whole run.

    A user that passes it holds one of its permits: after `wait` until its iteration ends, with
    `permit` until the end of the block. `change_rate` changes the number of permits.

    Returns:
        See `start`.

    Raises:
        ScenarioError: See `start`.
    """
    return start(name, n, 0)


def change_rate(
    name: str,
    rate: float | None = None,
    interval: float | None = None,
    *,
    interarrival: float | None = None,
    wait: bool = True,
) -> None:
    """Change the rate now. Ends an `unlock` and any gradual change.

    Args:
        name: The throttle.
        rate: Users that may pass per `interval`.
        interval: Seconds; unchanged by default. 0 turns a rate into a concurrency limit, any other
            value turns a concurrency limit into a rate. Users that have already passed then hold
            no permit.
        interarrival: Seconds between two passes, instead of `rate`.
        wait: Whether to return when the change is in force in all workers.
    """
    parse_profile.check_name(name)
    interval = _interval_of(name, interval, interarrival)
    value = _rate_of(name, rate, interarrival, interval)
    rpc.ask("throttle.change_rate", name, value, interval, wait)


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
    wait: bool = True,
) -> None:
    """Change the rate gradually: in a straight line over `duration`, or in steps.

    Args:
        name: The throttle.
        from_rate: Initial rate; the current one by default.
        to_rate: Final rate, which then stays.
        interval: Seconds that the rates refer to; unchanged by default.
        duration: Length of the straight line.
        step_interval: Length of each step.
        step_count: Number of steps; the first change comes at the end of the first step.
        from_interarrival: Seconds between two passes, instead of `from_rate`.
        to_interarrival: Seconds between two passes, instead of `to_rate`. It is the rate that
            changes linearly, not the time between passes.
        wait: Whether to return when the change is in force in all workers.
    """
    parse_profile.check_name(name)
    interval = _interval_of(name, interval, to_interarrival)
    last = _rate_of(name, to_rate, to_interarrival, interval, which="to_")
    first = None
    if from_rate is not None or from_interarrival is not None:
        first = _rate_of(name, from_rate, from_interarrival, interval, which="from_")
    given = (duration is not None, step_interval is not None, step_count is not None)
    if given not in ((True, False, False), (False, True, True)):
        raise ScenarioError(
            f"throttle {name} must be given either duration, or step_interval and step_count"
        )
    shape: list[object] = ["stairs", first, last, step_interval, step_count]
    if duration is not None:
        shape = ["ramp", first, last, duration]
    _change_shape(name, shape, interval, wait)


def steps(
    name: str,
    rates: Sequence[tuple[float, float]],
    interval: float | None = None,
    *,
    wait: bool = True,
) -> None:
    """Step through a list of (rate, seconds); the last rate stays."""
    _change_shape(name, ["steps", [list(step) for step in rates]], interval, wait)


def sine(
    name: str,
    low: float,
    high: float,
    period: float,
    interval: float | None = None,
    *,
    wait: bool = True,
) -> None:
    """Vary the rate between `low` and `high`, starting upwards from the middle, until changed."""
    _change_shape(name, ["sine", low, high, period], interval, wait)


def stages(name: str, text: str, interval: float | None = None, *, wait: bool = True) -> None:
    """Let the rate follow stages such as ``30s:100, 2m:1000``, starting from 0."""
    _change_shape(name, ["stages", text], interval, wait)


def pause(name: str, *, wait: bool = True) -> None:
    """Hold all users until `resume`; a gradual change continues in the background."""
    rpc.ask("throttle.pause", parse_profile.check_name(name), wait)


def resume(name: str, *, wait: bool = True) -> None:
    """Return to the configured rate after `pause` or `unlock`."""
    rpc.ask("throttle.resume", parse_profile.check_name(name), wait)


def unlock(name: str, *, wait: bool = True) -> None:
    """Lift the limit until `resume` or another rate."""
    rpc.ask("throttle.unlock", parse_profile.check_name(name), wait)


def stop(name: str) -> None:
    """End the throttle. Users waiting for it get a `ScenarioError`; its name is free again."""
    rpc.ask("throttle.stop", parse_profile.check_name(name))


def state(name: str) -> ThrottleState:
    """Return the throttle's state. Not available in init(), where nothing has started yet."""
    return ThrottleState(*rpc.ask("throttle.state", parse_profile.check_name(name)))


def _change_shape(name: str, shape: list[object], interval: float | None, wait: bool) -> None:
    rpc.ask("throttle.change_shape", parse_profile.check_name(name), shape, interval, wait)


def _interval_of(name: str, interval: object, interarrival: object) -> float | None:
    """Return the interval of a new rate; None keeps the old one, known only to the controller."""
    if interval is not None:
        return parse_profile.check_interval(name, interval)
    return MINUTE_S if interarrival is not None else None


def _rate_of(
    name: str, rate: object, interarrival: object, interval_s: float | None, which: str = ""
) -> float:
    if (rate is None) is (interarrival is None):
        raise ScenarioError(
            f"throttle {name} must be given either {which}rate or {which}interarrival"
        )
    if interarrival is None:
        return parse_profile.check_rate(name, rate, interval_s)
    seconds = parse_profile.check_seconds(name, "interarrival", interarrival, most=inf)
    if interval_s is None:
        raise ScenarioError(
            f"throttle {name} must be given interval= to combine {which}interarrival with a rate"
        )
    if not interval_s:
        raise ScenarioError(
            f"throttle {name} limits how many pass at the same time, so it has no interarrival"
        )
    return parse_profile.check_rate(name, interval_s / seconds if seconds else inf, interval_s)
