"""Which environments to remove from the cache. Pure.

Those not used for a long time, and, if all together are too large, the least recently used ones.
Environments in use are kept, and so is the most recently used one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEEP_S = 30 * 86_400.0
"""An environment not used for this long is removed."""
KEEP_BYTES = 5 << 30
"""The maximum size of all of them together."""


@dataclass(frozen=True)
class Cached:
    """An environment in the cache.

    Attributes:
        name: The name of its directory.
        bytes: Its size.
        used_s: When a run last started with it, in seconds since 1970.
        in_use: Whether a process is using it.
    """

    name: str
    bytes: int
    used_s: float
    in_use: bool = False


def to_prune(
    found: Sequence[Cached], now_s: float, keep_s: float = KEEP_S, keep_bytes: int = KEEP_BYTES
) -> list[Cached]:
    """Return the environments to remove.

    Args:
        found: All environments, in any order.
        now_s: The current time, in seconds since 1970.
        keep_s: How long an environment is kept after its last use.
        keep_bytes: The maximum size of all together.
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
