"""Waiting for a throttle named by the operator, for packages that do not depend on throttles.

Throttles and clients must not import each other; the throttle package provides the wait here.
"""

from __future__ import annotations

from collections.abc import Callable

from amoc.base.errors import ScenarioError

_wait: Callable[[str], object] | None = None


def provide(wait: Callable[[str], object]) -> None:
    """Set the function that waits for a throttle, given its name."""
    global _wait
    _wait = wait


def wait(throttle: str) -> None:
    """Wait until `throttle` lets the caller pass.

    Raises:
        ScenarioError: There is no such throttle.
    """
    if _wait is None:
        raise ScenarioError(
            f"throttle {throttle} cannot be waited for: there are no throttles here"
        )
    _wait(throttle)
