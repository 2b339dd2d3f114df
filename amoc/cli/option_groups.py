"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import signature

import click

Decorator = Callable[[Callable[..., object]], Callable[..., object]]


flag = partial(click.option, is_flag=True)
"""An option without a value."""


def together(*options: Decorator) -> Decorator:
    """Return a decorator that adds `options` to a command, in this order."""

    def give(command: Callable[..., object]) -> Callable[..., object]:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def gathered(name: str, make: Callable[..., object], *options: Decorator) -> Decorator:
    """Return a decorator that adds `options` to a command, as one argument of it.

    Args:
        name: The name of the argument.
        make: Returns its value; its parameters are named like those of the options.
        options: The options.
    """

    def give(command: Callable[..., object]) -> Callable[..., object]:
        @wraps(command)
        def called(**given: object) -> object:
            made = make(**{one: given.pop(one) for one in signature(make).parameters})
            return command(**given, **{name: made})

        return together(*options)(called)

    return give
