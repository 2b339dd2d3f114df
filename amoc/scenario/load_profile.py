"""Load profiles: a value that follows stages, such as ``30s:100, 2m:1000, 30s:0``. Pure.

Each stage ramps linearly from the previous value (0 or `start` at first) to its target over its
duration; a stage of 0 s jumps. The last target holds after the last stage. Numbers of users and
throttle rates share this syntax.

Values are exact fractions and times are whole nanoseconds, so that `count_at` and `due_ns` agree to
the nanosecond: user k starts exactly when the ramp reaches k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, inf
from typing import NamedTuple

from amoc.base.clock import S_NS, parse_duration, parse_rate
from amoc.base.errors import value_error_as

MAX_STAGES = 1_000
MAX_COUNT = 1 << 32
MAX_RATE = 10**6
"""Per second; a higher throttle rate is a mistake, except for ``inf``, which means no limit."""
MAX_S = 1e8


class Stage(NamedTuple):
    """One stage."""

    duration_ns: int
    target: Fraction


class Leg(NamedTuple):
    """A stage with its start time and initial value: a linear ramp."""

    begin_ns: int
    end_ns: int
    before: Fraction
    target: Fraction

    @property
    def length_ns(self) -> int:
        """Its duration."""
        return self.end_ns - self.begin_ns

    def value_at(self, t_ns: int) -> Fraction:
        """Return the value at a time within this leg; a jump reaches its target at once."""
        if not self.length_ns:
            return self.target
        return self.before + (self.target - self.before) * (t_ns - self.begin_ns) / self.length_ns


class Stages(NamedTuple):
    """A value that follows `stages` from `start`.

    Attributes:
        stages: In order; at least one.
        start: The value before the first stage.
    """

    stages: tuple[Stage, ...]
    start: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str, start: int = 0) -> Stages:
        """Parse stages of a number of users: ``30s:100, 2m:1000, 30s:0``.

        Raises:
            ValueError: The text is invalid; a clause with the stage, the rule and the value.
        """
        return cls(_stages_of(text, _count_of), Fraction(start))

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Stages:
        """Restore stages from the result of `to_json`; sums of stages may have fractions.

        Raises:
            KeyError, TypeError, ValueError: `data` is invalid.
        """
        return cls(_stages_of(str(data["text"]), Fraction), Fraction(str(data["start"])))

    def to_json(self) -> dict[str, object]:
        """Return their form in a run's plan."""
        return {"text": str(self), "start": int(self.start)}

    @property
    def total_ns(self) -> int:
        """The total duration."""
        return sum(stage.duration_ns for stage in self.stages)

    @property
    def total_s(self) -> float:
        """The total duration."""
        return self.total_ns / S_NS

    @property
    def targets(self) -> list[float]:
        """The target of each stage."""
        return [float(stage.target) for stage in self.stages]

    @property
    def highest(self) -> int:
        """The maximum of all counts."""
        return floor(self.peak)

    @property
    def peak(self) -> Fraction:
        """The maximum of the value."""
        return max(self.start, *(stage.target for stage in self.stages))

    @property
    def rises(self) -> int:
        """The number of user ids needed: one for each user added."""
        return sum(max(0, ceil(leg.target) - floor(leg.before)) for leg in self.legs())

    @property
    def steepest_per_s(self) -> float:
        """The steepest rise; a jump counts as if it took a second."""
        return max(
            float(max(Fraction(0), leg.target - leg.before)) * S_NS / max(leg.length_ns, S_NS)
            for leg in self.legs()
        )

    def legs(self) -> Iterator[Leg]:
        """Return the stages with their times."""
        begin_ns, before = 0, self.start
        for duration_ns, target in self.stages:
            yield Leg(begin_ns, begin_ns + duration_ns, before, target)
            begin_ns, before = begin_ns + duration_ns, target

    def exactly_at(self, t_ns: int) -> Fraction:
        """Return the value at `t_ns`."""
        if t_ns < 0:
            return self.start
        for leg in self.legs():
            if t_ns < leg.end_ns:
                return leg.value_at(t_ns)
        return self.stages[-1].target

    def value_at(self, t_s: float) -> float:
        """Return the value `t_s` seconds after the start."""
        return float(self.exactly_at(round(min(t_s, 2 * MAX_S * MAX_STAGES) * S_NS)))

    def before(self, t_ns: int) -> Fraction:
        """Return the value right before `t_ns`, where it may jump."""
        for leg in self.legs():
            if leg.begin_ns < t_ns <= leg.end_ns:
                return leg.value_at(t_ns)
        return self.exactly_at(t_ns) if t_ns > 0 else self.start

    def count_at(self, t_ns: int) -> int:
        """Return the number of users at `t_ns`: the value, rounded down."""
        return floor(self.exactly_at(t_ns))

    def most_between(self, first_ns: int, last_ns: int) -> int:
        """Return the highest count from `first_ns` to `last_ns`, including peaks in between."""
        most = max(self.count_at(first_ns), self.count_at(last_ns))
        for leg in self.legs():
            begin_ns, end_ns = max(leg.begin_ns, first_ns), min(leg.end_ns - 1, last_ns)
            if begin_ns <= end_ns:
                most = max(most, floor(leg.value_at(begin_ns)), floor(leg.value_at(end_ns)))
        return most

    def due_ns(self, k: int, after_ns: int = 0) -> int | None:
        """Return the first time from `after_ns` at which `count_at` is at least `k`, or None."""
        for leg in self.legs():
            first_ns = max(leg.begin_ns, after_ns)
            if first_ns >= leg.end_ns:  # the end of a leg belongs to the next one
                continue
            if leg.value_at(first_ns) >= k:
                return first_ns
            if leg.before < k <= leg.target:
                rise_ns = (k - leg.before) * leg.length_ns / (leg.target - leg.before)
                if leg.begin_ns + ceil(rise_ns) < leg.end_ns:
                    return leg.begin_ns + ceil(rise_ns)
        last_ns = max(after_ns, self.total_ns)
        return last_ns if self.count_at(last_ns) >= k else None

    def __str__(self) -> str:
        parts = []
        for duration_ns, target in self.stages:
            duration = duration_ns / S_NS
            parts.append(f"{_plain(duration)}s:{_plain(float(target))}")
        return ", ".join(parts)


def lasting_stages(text: str) -> Stages:
    """Parse stages of a number of users that take some time.

    Raises:
        ValueError: They are invalid, or all are jumps; a clause.
    """
    return lasting(Stages.parse(text), text)


def lasting(stages: Stages, text: str) -> Stages:
    """Return the stages in `text`; raises ValueError, with a clause, if all of them are jumps."""
    if not stages.total_ns:
        raise ValueError(f"must have a total duration above 0 s, got {text!r}")
    return stages


def sum_of(profiles: Sequence[Stages]) -> Stages:
    """Return the sum of several profiles, each holding its last target."""
    stages, since_ns = [], 0
    value = start = sum((one.start for one in profiles), Fraction(0))
    for t_ns in sorted({0, *(leg.end_ns for one in profiles for leg in one.legs())}):
        before = sum((one.before(t_ns) for one in profiles), Fraction(0))
        if t_ns > since_ns:
            stages.append(Stage(t_ns - since_ns, before))
            since_ns, value = t_ns, before
        after = sum((one.exactly_at(t_ns) for one in profiles), Fraction(0))
        if after != value:
            stages.append(Stage(0, after))
            value = after
    return Stages(tuple(stages) or (Stage(0, value),), start)


def parse_profile(text: str, interval_s: float, *, finite: bool = False) -> float | Stages:
    """Parse the rate of a throttle: constant (``600/min``), or in stages.

    Args:
        text: ``600/min``, ``0``, ``inf``, or ``30s:10/s, 2m:1000/min``.
        interval_s: The interval for a number without a unit; 0 for a concurrency limit, which has
            no units.
        finite: Whether to reject ``inf``.

    Returns:
        The rate per `interval_s`, or stages of such rates.

    Raises:
        ValueError: The text is invalid; a clause with the stage, the rule and the value.
    """

    def rate_of(number: str) -> Fraction:
        rate = _per(number, interval_s, finite=True)
        return Fraction(repr(rate)) if isinstance(rate, float) else rate

    if ":" not in text:
        return float(_per(text, interval_s, finite=finite))
    return Stages(_stages_of(text, rate_of))


def _per(text: str, interval_s: float, *, finite: bool) -> Fraction | float:
    """Parse a rate as a number per `interval_s`."""
    if interval_s == 0:
        if "/" in text:
            raise ValueError(
                "must be a number without a unit, since the throttle limits concurrency,"
                f" got {text!r}"
            )
        return parse_rate(text, 1.0, finite=finite)[0]
    count, per_s = parse_rate(text, interval_s, finite=finite)
    if count == inf:
        return inf
    exact = Fraction(repr(count)) * Fraction(repr(interval_s)) / Fraction(repr(per_s))
    if exact > MAX_RATE * Fraction(repr(interval_s)):
        raise ValueError(f"must be at most {MAX_RATE}/s (or inf), got {text.strip()!r}")
    return exact


def _stages_of(text: str, number_of: Callable[[str], Fraction]) -> tuple[Stage, ...]:
    parts = text.split(",")
    if len(parts) > MAX_STAGES:
        raise ValueError(f"must have at most {MAX_STAGES} stages, got {len(parts)}")
    stages = []
    for number, part in enumerate(parts, 1):
        name = f"stage {number}"
        duration, colon, target = part.partition(":")
        if not colon or not duration.strip() or not target.strip():
            raise ValueError(
                f"{name} must be DURATION:TARGET such as 30s:100, got {part.strip()!r}"
            )
        with value_error_as(ValueError, f"{name}: its duration "):
            seconds = parse_duration(duration.strip())
        if seconds > MAX_S:
            raise ValueError(
                f"{name}: its duration must be at most {MAX_S:g} s, got {duration.strip()!r}"
            )
        with value_error_as(ValueError, f"{name}: its target "):
            value = number_of(target.strip())
        stages.append(Stage(round(seconds * S_NS), value))
    return tuple(stages)


def _count_of(text: str) -> Fraction:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= MAX_COUNT):
        raise ValueError(f"must be a whole number from 0 to {MAX_COUNT}, got {text!r}")
    return Fraction(int(text))


def _plain(number: float) -> str:
    """Format `number` without an exponent or trailing zeros."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
