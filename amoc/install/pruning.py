"""Which environments in the cache are to go. Pure.

Those that nobody has used for long, and, where all take too many bytes, those that were used
longest ago. One that is in use stays, and so does the one that was used last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEEP_S = 30 * 86_400.0
"""An environment that was not used for so long goes."""
KEEP_BYTES = 5 << 30
"""All of them together take at most so many bytes."""


@dataclass(frozen=True)
class Cached:
    """An environment in the cache.

    Attributes:
        name: Of its directory.
        bytes: How large it is.
        used_s: When a run began with it last, in seconds since 1970.
        in_use: Whether a process uses it now.
    """

    name: str
    bytes: int
    used_s: float
    in_use: bool = False


def to_prune(
    found: Sequence[Cached], now_s: float, keep_s: float = KEEP_S, keep_bytes: int = KEEP_BYTES
) -> list[Cached]:
    """Those that are to go, of all that there are.

    Args:
        found: All, in any order.
        now_s: The time now, in seconds since 1970.
        keep_s: How long one is kept after its last use.
        keep_bytes: How many bytes all may take.
    """
    newest_first = sorted(found, key=lambda one: (one.used_s, one.name), reverse=True)
    left = keep_bytes - sum(one.bytes for one in found if one.in_use)
    gone = []
    for at, one in enumerate(newest_first):
        if one.in_use:
            continue
        left -= one.bytes
        if at and (left < 0 or now_s - one.used_s > keep_s):
            gone.append(one)
            left += one.bytes
    return gone
