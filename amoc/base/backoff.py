"""Exponential backoff with jitter. Pure."""

from __future__ import annotations


def backoff(failures: int, first_s: float, most_s: float, share: float) -> float:
    """Return the pause after `failures` consecutive failures, in seconds.

    Args:
        failures: At least 1.
        first_s: The mean pause after the first failure; it doubles with each further one.
        most_s: The upper limit of the mean, unless `first_s` is higher.
        share: The jitter, from 0 to 1: the pause is 0.5 to 1.5 times the mean, so that clients that
            failed together do not retry together.
    """
    mean_s = min(first_s * 2 ** min(failures - 1, 30), max(first_s, most_s))
    return float(mean_s * (0.5 + share))
