"""The rate of a throttle over time: constant, steps, ramps, sine. Pure.

A profile gives the value at a time, and until when it holds. The value is a rate per the throttle's
interval or, if the interval is 0, a concurrency limit. A straight line is cut into short steps,
each with the line's value at its middle, which yields the same number of slots. After its last step
a profile keeps its value.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import pi, sin
from typing import NamedTuple, Protocol

from amoc.base.clock import MS_NS, S_NS, format_duration
from amoc.scenario.load_profile import Stages

NEVER_NS = 1 << 62
_CUTS = 1_000
"""Steps that a straight line is cut into, unless that makes them too short or too long."""
_MIN_NS = 10 * MS_NS
_MAX_NS = S_NS
_SINE_CUTS = 100


class Profile(Protocol):
    """A value over time."""

    def at(self, t_ns: int, /) -> tuple[float, int]:
        """Return the value `t_ns` after the start, and until when it holds."""

    @property
    def steady(self) -> bool:
        """Whether it never changes."""


def integral(profile: Profile, from_ns: int, to_ns: int) -> float:
    """Return the integral of the profile from `from_ns` to `to_ns`, in value times ns."""
    if profile.steady:
        return profile.at(0)[0] * (to_ns - from_ns) if to_ns > from_ns else 0.0
    total = 0.0
    while from_ns < to_ns:
        value, until_ns = profile.at(from_ns)
        until_ns = min(max(until_ns, from_ns + 1), to_ns)
        total += value * (until_ns - from_ns)
        from_ns = until_ns
    return total


@dataclass(frozen=True)
class Constant:
    """A constant value; ``inf`` means no limit."""

    value: float
    steady = True

    def at(self, _t_ns: int, /) -> tuple[float, int]:
        """Return the value, which holds forever."""
        return self.value, NEVER_NS

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Steps:
    """A sequence of constant values; the last one stays."""

    begins_ns: tuple[int, ...]
    """Start of each step; the first is 0."""
    values: tuple[float, ...]
    steady = False

    def at(self, t_ns: int, /) -> tuple[float, int]:
        """Return the value of the step at `t_ns`, and the start of the next step."""
        index = max(0, bisect_right(self.begins_ns, t_ns) - 1)
        last = index + 1 == len(self.begins_ns)
        return self.values[index], NEVER_NS if last else self.begins_ns[index + 1]

    def __str__(self) -> str:
        return f"{len(self.values)} steps from {self.values[0]:g} to {self.values[-1]:g}"


class Line(NamedTuple):
    """A straight line from `before` to `after`."""

    begin_ns: int
    end_ns: int
    before: float
    after: float

    def at(self, t_ns: int) -> tuple[float, int]:
        """Return the value of the short step at `t_ns`, and where that step ends."""
        if self.before == self.after:
            return self.after, self.end_ns
        length_ns = self.end_ns - self.begin_ns
        step_ns = min(max(length_ns // _CUTS, _MIN_NS), _MAX_NS)
        from_ns = (t_ns - self.begin_ns) // step_ns * step_ns
        to_ns = min(from_ns + step_ns, length_ns)
        middle = (from_ns + to_ns) / 2 / length_ns
        return self.before + (self.after - self.before) * middle, self.begin_ns + to_ns


@dataclass(frozen=True)
class Ramps:
    """A sequence of straight lines; the last value stays."""

    lines: tuple[Line, ...]
    """Each starts where the previous one ends, the first at 0."""
    steady = False

    def at(self, t_ns: int, /) -> tuple[float, int]:
        """Return the value of the line at `t_ns`, and until when it holds."""
        index = bisect_right(self.lines, t_ns, key=lambda line: line.end_ns)
        if index == len(self.lines):
            return self.lines[-1].after, NEVER_NS
        return self.lines[index].at(t_ns)

    def __str__(self) -> str:
        first, last = self.lines[0], self.lines[-1]
        duration = format_duration(last.end_ns / S_NS)
        return f"from {first.before:g} to {last.after:g} in {duration}"


@dataclass(frozen=True)
class Sine:
    """A sine between `low` and `high`, starting upwards from the middle, without end."""

    low: float
    high: float
    period_ns: int
    steady = False

    def at(self, t_ns: int, /) -> tuple[float, int]:
        """Return the value of the wave at `t_ns`, and until when it holds."""
        step_ns = min(max(self.period_ns // _SINE_CUTS, _MIN_NS), _MAX_NS)
        from_ns = t_ns // step_ns * step_ns
        phase = (from_ns + step_ns / 2) / self.period_ns
        middle = (self.low + self.high) / 2
        value = middle + (self.high - self.low) / 2 * sin(2 * pi * (phase % 1.0))
        return max(0.0, value), from_ns + step_ns

    def __str__(self) -> str:
        period = format_duration(self.period_ns / S_NS)
        return f"sine between {self.low:g} and {self.high:g}, period {period}"


def ramps_of(stages: Stages) -> Ramps:
    """Convert load stages to ramps."""
    return Ramps(
        tuple(
            Line(leg.begin_ns, leg.end_ns, float(leg.before), float(leg.target))
            for leg in stages.legs()
        )
    )
