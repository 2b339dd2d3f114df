"""How dependencies of a scenario are to be had. Pure."""

from typing import NamedTuple

NO_INSTALL, LOCKED = "--no-install", "--locked"
"""How they are chosen, on command lines."""


class Choice(NamedTuple):
    """How dependencies are to be had.

    Attributes:
        install: Whether what is missing may be installed.
        locked: Whether only what is locked may be used.
        timeout_s: How long resolving and installing may take together.
    """

    install: bool = True
    locked: bool = False
    timeout_s: float = 300.0
