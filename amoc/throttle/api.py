"""What a scenario starts and changes throttles with: `from amoc import throttle`.

A throttle is known by its name over the whole run. init(), or any user, starts it; all users of all
workers pass through it together:

    throttle.start("logins", 600)                   # 600 a minute
    throttle.wait("logins")                         # in a user

    throttle.limit_concurrency("uploads", 20)       # 20 at the same time
    with throttle.permit("uploads"):                # in a user
        ...

Durations are seconds. What is refused raises `ScenarioError`, in init() when the run is about to
start.
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
) -> None:
    """Start a throttle for the whole run.

    Args:
        name: Letters, digits, ``_``, ``.`` and ``-``.
        rate: How many may pass per `interval`; 0 holds all, ``inf`` holds none.
        interval: Seconds; 0 means the same as `limit_concurrency`.
        interarrival: Seconds between two, in place of `rate`.
        stages: How the rate goes, in place of `rate`: ``30s:100, 2m:1000``.

    Raises:
        ScenarioError: It makes no sense, or there is a throttle of that name.
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
    learn(rpc.ask("throttle.start", name, shape, interval))


def limit_concurrency(name: str, n: int) -> None:
    """Start a throttle that lets `n` users be at work at the same time, over the whole run.

    Who passes it holds one of its permits: until its iteration ends with `wait`, until the end of
    the block with `permit`. `change_rate` changes how many there are.

    Raises:
        ScenarioError: It makes no sense, or there is a throttle of that name.
    """
    start(name, n, 0)


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
    parse_profile.check_name(name)
    interval = _interval_of(name, interval, interarrival)
    value = _rate_of(name, rate, interarrival, interval)
    rpc.ask("throttle.change_rate", name, value, interval)


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
    rpc.ask("throttle.change_shape", name, shape, interval)


def steps(name: str, rates: Sequence[tuple[float, float]], interval: float | None = None) -> None:
    """Let the rate go through a list of (rate, seconds); the last rate stays."""
    shape = ["steps", [list(step) for step in rates]]
    rpc.ask("throttle.change_shape", parse_profile.check_name(name), shape, interval)


def sine(name: str, low: float, high: float, period: float, interval: float | None = None) -> None:
    """Let the rate swing between `low` and `high`, from the middle upwards, until it is changed."""
    shape = ["sine", low, high, period]
    rpc.ask("throttle.change_shape", parse_profile.check_name(name), shape, interval)


def stages(name: str, text: str, interval: float | None = None) -> None:
    """Let the rate follow stages such as ``30s:100, 2m:1000``, from 0."""
    rpc.ask("throttle.change_shape", parse_profile.check_name(name), ["stages", text], interval)


def pause(name: str) -> None:
    """Let nobody through until `resume`; a gradual change goes on counting meanwhile."""
    rpc.ask("throttle.pause", parse_profile.check_name(name))


def resume(name: str) -> None:
    """Back to what is configured, after `pause` or `unlock`."""
    rpc.ask("throttle.resume", parse_profile.check_name(name))


def unlock(name: str) -> None:
    """Let everybody through until `resume` or another rate."""
    rpc.ask("throttle.unlock", parse_profile.check_name(name))


def stop(name: str) -> None:
    """End the throttle; who waits for it gets a `ScenarioError`. Its name is free again."""
    rpc.ask("throttle.stop", parse_profile.check_name(name))


def state(name: str) -> ThrottleState:
    """How the throttle is."""
    return ThrottleState(*rpc.ask("throttle.state", parse_profile.check_name(name)))


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
    seconds = parse_profile.check_seconds(name, "interarrival", interarrival)
    if interval_s is None:
        raise ScenarioError(
            f"throttle {name} must be given an interval, for {which}interarrival and a rate to go"
            " together"
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
