"""Checks of the parameters of scenario functions. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def takes(function: Callable[..., object], count: int) -> bool:
    """Return whether `function` can be called with `count` positional arguments.

    True for built-in functions without a signature.
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
