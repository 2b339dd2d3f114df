"""Validation of throttle settings, and profiles built from them. Pure.

A profile travels as plain data: the name of a shape and its numbers.

    ["constant", 600]                  ["sine", 10, 100, 60.0]
    ["ramp", 0, 1000, 120.0]           ["steps", [[100, 30.0], [1000, 60.0]]]
    ["stages", "30s:100, 2m:1000"]     ["stairs", 100, 1000, 30.0, 10]

Numbers are values and seconds, and the number of stairs; for stages see
`amoc.scenario.load_profile`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import TypeGuard

from amoc.base import names
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.scenario.load_profile import MAX_RATE, Stages, parse_profile
from amoc.throttle.profiles import Constant, Line, Profile, Ramps, Sine, Steps, ramps_of

MAX_STEPS = 10_000
MAX_S = 1e8
MIN_PERIOD_S = 1.0


def check_name(name: object) -> str:
    """Return `name` if it is a valid throttle name.

    Raises:
        ScenarioError: It is not.
    """
    return names.check_name("throttle", name)


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def check_rate(
    name: str, value: object, interval_s: float | None, *, finite: bool = False
) -> float:
    """Return `value` as a rate of throttle `name` per `interval_s`; None is any interval.

    Raises:
        ScenarioError: It is not a valid rate.
    """
    limit = "below infinity" if finite else "0 or more (infinity for no limit)"
    if not _number(value) or value < 0 or (finite and value == inf):
        raise ScenarioError(f"throttle {name}: a rate must be {limit}, got {value!r}")
    most = MAX_RATE * (MAX_S if interval_s is None else interval_s or 1)
    if most < value < inf:
        per = "" if interval_s is None else f" per {interval_s:g} s"
        raise ScenarioError(
            f"throttle {name}: a rate must be at most {MAX_RATE}/s (or infinity), got"
            f" {value!r}{per}"
        )
    return float(value)


def check_interval(name: str, value: object) -> float:
    """Return `value` as throttle `name`'s interval in seconds; 0 means a concurrency limit.

    Raises:
        ScenarioError: It is not a valid interval.
    """
    if not _number(value) or not (value == 0 or 1e-3 <= value <= MAX_S):
        raise ScenarioError(
            f"throttle {name}: its interval must be 0, or from 1 ms to {MAX_S:g} s, got {value!r}"
        )
    return float(value)


def check_seconds(
    name: str, what: str, value: object, least: float = 0.0, most: float = MAX_S
) -> float:
    """Return `value` as a duration in seconds for throttle `name`.

    Raises:
        ScenarioError: It is out of range; the message names it by `what`.
    """
    if not _number(value) or not least <= value <= most:
        raise ScenarioError(
            f"throttle {name}: its {what} must be from {least:g} to {most:g} s, got {value!r}"
        )
    return float(value)


def check_timeout(name: str, value: object) -> float:
    """Return `value` as the longest time in seconds to wait for throttle `name`.

    Raises:
        ScenarioError: It is not a valid timeout.
    """
    if not _number(value) or value < 0:
        raise ScenarioError(
            f"throttle {name}: a timeout must be 0 s or more (infinity for no limit), got {value!r}"
        )
    return float(value) if value <= MAX_S else inf


def build(name: str, shape: object, interval_s: float) -> Profile:
    """Return the profile that `shape` describes, for throttle `name`.

    Raises:
        ScenarioError: The shape is invalid.
    """
    kind, *rest = shape if isinstance(shape, Sequence) and shape else ("",)
    rate = partial(check_rate, name, interval_s=interval_s, finite=True)
    match kind, rest:
        case "constant", [value]:
            return Constant(check_rate(name, value, interval_s))
        case "ramp", [before, after, seconds]:
            first, last = rate(before), rate(after)
            length_ns = round(check_seconds(name, "duration", seconds) * S_NS)
            return Ramps((Line(0, length_ns, first, last),))
        case "stairs", [before, after, seconds, count]:
            return _stairs(name, rate(before), rate(after), seconds, count)
        case "steps", [steps]:
            return _steps(name, steps, rate)
        case "sine", [low, high, seconds]:
            bottom, top = rate(low), rate(high)
            if bottom > top:
                raise ScenarioError(
                    f"throttle {name}: a sine must be from low to high, got {low!r} to {high!r}"
                )
            period_s = check_seconds(name, "period", seconds, MIN_PERIOD_S)
            return Sine(bottom, top, round(period_s * S_NS))
        case "stages", [str(text)]:
            return from_text(name, text, interval_s)
    raise ScenarioError(f"throttle {name}: a shape must be one of amoc's, got {shape!r}")


def _stairs(name: str, first: float, last: float, seconds: object, count: object) -> Profile:
    if type(count) is not int or not 1 <= count <= MAX_STEPS:
        raise ScenarioError(
            f"throttle {name}: its step_count must be from 1 to {MAX_STEPS}, got {count!r}"
        )
    length_ns = round(check_seconds(name, "step_interval", seconds) * S_NS)
    return Steps(
        tuple(step * length_ns for step in range(count + 1)),
        tuple(first + (last - first) * step / count for step in range(count + 1)),
    )


def _steps(name: str, steps: object, rate: Callable[[object], float]) -> Profile:
    if not isinstance(steps, Sequence) or not 1 <= len(steps) <= MAX_STEPS:
        raise ScenarioError(f"throttle {name}: steps must be 1 to {MAX_STEPS} (rate, seconds)")
    begins_ns, values, at_ns = [], [], 0
    for step in steps:
        if not isinstance(step, Sequence) or len(step) != 2:
            raise ScenarioError(f"throttle {name}: a step must be (rate, seconds), got {step!r}")
        begins_ns.append(at_ns)
        values.append(rate(step[0]))
        at_ns += round(check_seconds(name, "step", step[1]) * S_NS)
    return Steps(tuple(begins_ns), tuple(values))


def from_text(name: str, text: str, interval_s: float, source: str = "") -> Profile:
    """Return the profile that `text` describes: ``600/min``, or ``30s:100, 2m:1000``.

    Raises:
        ScenarioError: The text is invalid.
    """
    try:
        profile = parse_profile(text, interval_s)
    except ValueError as error:
        suffix = f" (from {source})" if source else ""
        raise ScenarioError(f"throttle {name}: its rate {error}{suffix}") from None
    if not isinstance(profile, Stages):
        return Constant(check_rate(name, profile, interval_s))
    for target in profile.targets:
        check_rate(name, target, interval_s, finite=True)
    return ramps_of(profile)
