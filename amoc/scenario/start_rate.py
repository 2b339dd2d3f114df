"""The start rate: how many users may start per minute, and which setting decides it. Pure.

``user_rate`` overrides ``interarrival``. Stages and an arrival rate decide themselves when users
start, so beside them these two count only when one is set explicitly. (``--throttle user_rate=…``
overrides all of this, as it does for every throttle.)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from amoc.scenario.settings import DEFAULT

USER_RATE = "user_rate"
"""The setting, and the throttle through which users start."""
INTERARRIVAL = "interarrival"
SETTINGS = frozenset((USER_RATE, INTERARRIVAL))
"""The settings that decide the rate."""


def start_rate(interarrival_ms: float, per_minute: float | None) -> float:
    """User starts per minute that ``interarrival`` and ``user_rate`` allow."""
    if per_minute is not None:
        return per_minute
    return 60_000 / interarrival_ms if interarrival_ms else inf


def first_rate(
    own_starts: str, sources: Mapping[str, str], interarrival_ms: float, per_minute: float | None
) -> tuple[float, str]:
    """User starts per minute at the beginning of a run, and what decides it.

    Args:
        own_starts: The option that says when users start, if there is one; else empty.
        sources: The source of each setting's value, by name.
        interarrival_ms: The setting ``interarrival``.
        per_minute: The setting ``user_rate``.
    """
    if own_starts and all(sources.get(name, DEFAULT) == DEFAULT for name in SETTINGS):
        return inf, own_starts
    source = INTERARRIVAL if per_minute is None else USER_RATE
    return start_rate(interarrival_ms, per_minute), source
