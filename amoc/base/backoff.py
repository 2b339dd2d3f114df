"""How long to wait before something that has failed is tried again. Pure."""

from __future__ import annotations


def backoff(failures: int, first_s: float, most_s: float, share: float) -> float:
    """The pause after `failures` failures in a row, in seconds.

    Args:
        failures: From 1 on.
        first_s: The mean pause after the first; it doubles with each further one.
        most_s: What the mean grows to, if that is more than `first_s`.
        share: From 0 to 1; spreads those that failed together over half to one and a half of the
            mean.
    """
    mean_s = min(first_s * 2 ** min(failures - 1, 30), max(first_s, most_s))
    return float(mean_s * (0.5 + share))
