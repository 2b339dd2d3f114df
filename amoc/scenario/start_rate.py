"""How many users may start in a minute, and what says so. Pure.

``user_rate`` rules over ``interarrival``. Stages say themselves when users start, so the defaults
of these two do not count beside them; who sets one of them wants both. (``--throttle user_rate=…``
goes before all of this, as before the rate of every throttle.)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from amoc.scenario.settings import DEFAULT

USER_RATE = "user_rate"
"""The setting, and the throttle through which users start."""
INTERARRIVAL = "interarrival"
STAGES = "--stages"
SETTINGS = frozenset((USER_RATE, INTERARRIVAL))
"""The settings that make the rate."""


def start_rate(interarrival_ms: float, per_minute: float | None) -> float:
    """User starts per minute, by the settings ``interarrival`` and ``user_rate``."""
    if per_minute is not None:
        return per_minute
    return 60_000 / interarrival_ms if interarrival_ms else inf


def first_rate(
    has_stages: bool,
    sources: Mapping[str, str],
    interarrival_ms: float,
    per_minute: float | None,
) -> tuple[float, str]:
    """User starts per minute at the beginning of a run, and what says so.

    Args:
        has_stages: Whether stages say how many users there are.
        sources: Where the value of each setting comes from.
        interarrival_ms: The setting ``interarrival``.
        per_minute: The setting ``user_rate``.
    """
    if has_stages and all(sources.get(name, DEFAULT) == DEFAULT for name in SETTINGS):
        return inf, STAGES
    source = INTERARRIVAL if per_minute is None else USER_RATE
    return start_rate(interarrival_ms, per_minute), source
