"""What functions of a scenario can be called with. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def takes(function: Callable[..., object], count: int) -> bool:
    """Whether `function` can be called with `count` positional arguments.

    Some built-in functions have no signature; they are taken at their word.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
