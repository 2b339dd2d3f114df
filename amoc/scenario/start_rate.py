"""The rate at which users start, per minute, and the setting that determines it. Pure.

``user_rate`` overrides ``interarrival``. Stages and an arrival rate determine themselves when users
start; with them these two apply only if one is set explicitly. (``--throttle user_rate=…``
overrides all of this, as for every throttle.)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from amoc.scenario.settings import DEFAULT

USER_RATE = "user_rate"
"""The name of the setting, and of the throttle through which users start."""
INTERARRIVAL = "interarrival"
SETTINGS = frozenset((USER_RATE, INTERARRIVAL))
"""The settings that determine the rate."""


def start_rate(interarrival_ms: float, per_minute: float | None) -> float:
    """Return the user starts per minute allowed by ``interarrival`` and ``user_rate``."""
    if per_minute is not None:
        return per_minute
    return 60_000 / interarrival_ms if interarrival_ms else inf


def first_rate(
    own_starts: str, sources: Mapping[str, str], interarrival_ms: float, per_minute: float | None
) -> tuple[float, str]:
    """Return the user starts per minute at the beginning of a run, and what determines them.

    Args:
        own_starts: The option that determines when users start, or empty if there is none.
        sources: The source of each setting's value, by name.
        interarrival_ms: The setting ``interarrival``.
        per_minute: The setting ``user_rate``.
    """
    if own_starts and all(sources.get(name, DEFAULT) == DEFAULT for name in SETTINGS):
        return inf, own_starts
    source = INTERARRIVAL if per_minute is None else USER_RATE
    return start_rate(interarrival_ms, per_minute), source
