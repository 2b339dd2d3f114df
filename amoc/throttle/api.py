"""What a scenario starts and changes throttles with: `from amoc import throttle`.

A throttle is known by its name over the whole run. init(), or any user, starts it; all users of all
workers pass through it together:

    throttle.start("logins", 600)                   # 600 a minute
    throttle.wait("logins")                         # in a user

    throttle.limit_concurrency("uploads", 20)       # 20 at the same time
    with throttle.permit("uploads"):                # in a user
        ...

Durations are seconds. What is refused raises `ScenarioError`, in init() when the run is about to
start. Calls that change a throttle return when the change is in force in all workers, about 40 ms
later, or with ``wait=False`` as soon as the controller has it; those of init() return at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from amoc.base.errors import ScenarioError
from amoc.ipc import rpc
from amoc.throttle import parse_profile
from amoc.throttle.throttle import ThrottleState
from amoc.throttle.wait import learn

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
        rate: How many may pass per `interval`; 0 holds all, ``inf`` holds none.
        interval: Seconds; 0 means the same as `limit_concurrency`.
        interarrival: Seconds between two, in place of `rate`; ``inf`` holds all.
        stages: How the rate goes, in place of `rate`: ``30s:100, 2m:1000``.

    Returns:
        ``started``, or ``already started`` where it was started with the same arguments before.

    Raises:
        ScenarioError: It makes no sense, or it was started with other arguments.
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
    """Start a throttle that lets `n` users be at work at the same time, over the whole run.

    Who passes it holds one of its permits: until its iteration ends with `wait`, until the end of
    the block with `permit`. `change_rate` changes how many there are.

    Returns:
        As `start`.

    Raises:
        ScenarioError: As `start`.
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
    """Change the rate, from now on; ends an `unlock` and any gradual change.

    Args:
        name: The throttle.
        rate: How many may pass per `interval`.
        interval: Seconds; as it was if not given. With 0 a rate becomes a limit of concurrency,
            with more a limit of concurrency becomes a rate. Users that are past the throttle then
            hold no permit.
        interarrival: Seconds between two, in place of `rate`.
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
    """Take the rate through a list of (rate, seconds); the last rate stays."""
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
    """Vary the rate between `low` and `high`, from the middle upwards, until it is changed."""
    _change_shape(name, ["sine", low, high, period], interval, wait)


def stages(name: str, text: str, interval: float | None = None, *, wait: bool = True) -> None:
    """Have the rate follow stages such as ``30s:100, 2m:1000``, from 0."""
    _change_shape(name, ["stages", text], interval, wait)


def pause(name: str, *, wait: bool = True) -> None:
    """Hold all users until `resume`; a gradual change goes on counting meanwhile."""
    rpc.ask("throttle.pause", parse_profile.check_name(name), wait)


def resume(name: str, *, wait: bool = True) -> None:
    """Back to what is configured, after `pause` or `unlock`."""
    rpc.ask("throttle.resume", parse_profile.check_name(name), wait)


def unlock(name: str, *, wait: bool = True) -> None:
    """Lift the limit until `resume` or another rate."""
    rpc.ask("throttle.unlock", parse_profile.check_name(name), wait)


def stop(name: str) -> None:
    """End the throttle; users that wait for it get a `ScenarioError`. Its name is free again."""
    rpc.ask("throttle.stop", parse_profile.check_name(name))


def state(name: str) -> ThrottleState:
    """The throttle's state; not in init(), where nothing has started yet."""
    return ThrottleState(*rpc.ask("throttle.state", parse_profile.check_name(name)))


def _change_shape(name: str, shape: list[object], interval: float | None, wait: bool) -> None:
    rpc.ask("throttle.change_shape", parse_profile.check_name(name), shape, interval, wait)


def _interval_of(name: str, interval: object, interarrival: object) -> float | None:
    """What a new rate is per; None means as it was, which only the controller knows."""
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


__all__ = [
    "ThrottleState",
    "change_rate",
    "change_rate_gradually",
    "limit_concurrency",
    "pause",
    "resume",
    "sine",
    "stages",
    "start",
    "state",
    "steps",
    "stop",
    "unlock",
]
