"""The open model: iterations begin at an arrival rate, on as many users as needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.scenario.load_profile import Stages, lasting, parse_profile

ARRIVAL_RATE = "arrival_rate"
"""The throttle whose slots start iterations."""
MAX_USERS = 1_000
"""Default limit on concurrent users."""


class Arrivals(NamedTuple):
    """An arrival rate with a limit on concurrent users.

    Attributes:
        text: The rate, ``200/s``, or stages, ``30s:10/s,2m:100/s``.
        max_users: The maximum number of concurrent users.
    """

    text: str
    max_users: int = MAX_USERS

    @classmethod
    def parse(cls, text: str, max_users: int = MAX_USERS) -> Arrivals:
        """Parse an arrival rate.

        Raises:
            ValueError: The text is invalid; a clause that follows the option's name.
        """
        check_rate(text)
        return cls(text.strip(), max_users)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Arrivals:
        """Restore arrivals from the result of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: `data` is invalid.
        """
        return cls.parse(str(data["rate"]), int(str(data["max_users"])))

    def to_json(self) -> dict[str, object]:
        """Return their form in a run's plan."""
        return {"rate": self.text, "max_users": self.max_users}

    @property
    def profile(self) -> float | Stages:
        """The rate per second, or stages of it."""
        return parse_profile(self.text, 1.0)

    @property
    def total_s(self) -> float | None:
        """The total duration of the stages; None for a constant rate."""
        profile = self.profile
        return profile.total_s if isinstance(profile, Stages) else None

    def count_until(self, seconds: float) -> float:
        """Return the number of iterations due in the first `seconds`."""
        profile = self.profile
        if not isinstance(profile, Stages):
            return profile * seconds
        until_ns, total = round(seconds * S_NS), 0.0
        for leg in profile.legs():
            end_ns = min(leg.end_ns, until_ns)
            if end_ns > leg.begin_ns:
                mean = (leg.before + leg.value_at(end_ns)) / 2
                total += float(mean) * (end_ns - leg.begin_ns) / S_NS
        return total + max(0.0, seconds - profile.total_s) * profile.targets[-1]


def check_rate(text: str) -> None:
    """Check the text of an arrival rate.

    Raises:
        ValueError: It is invalid; a clause.
    """
    profile = parse_profile(text, 1.0, finite=True)
    for part in text.split(","):
        if "/" not in part:
            raise ValueError(f"must have a time unit, such as 200/s or 30s:10/s, got {text!r}")
    if isinstance(profile, Stages):
        lasting(profile, text)
