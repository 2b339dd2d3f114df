"""Options for a scenario's dependencies. Pure."""

from typing import NamedTuple

NO_INSTALL, LOCKED = "--no-install", "--locked"
"""The options on command lines."""


class Choice(NamedTuple):
    """How to obtain dependencies.

    Attributes:
        install: Whether missing ones may be installed.
        locked: Whether only locked ones may be used.
        timeout_s: How long resolving and installing may take together.
    """

    install: bool = True
    locked: bool = False
    timeout_s: float = 300.0
