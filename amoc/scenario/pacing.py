"""Lets parts of amoc that know no throttles wait at one that the operator has named.

Throttles and clients are rooms beside each other; what passes a throttle is put in here by them.
"""

from __future__ import annotations

from collections.abc import Callable

from amoc.base.errors import ScenarioError

_wait: Callable[[str], object] | None = None


def provide(wait: Callable[[str], object]) -> None:
    """Throttles are there: `wait` lets the caller wait at one of them."""
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
