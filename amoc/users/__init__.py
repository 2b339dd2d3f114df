"""Users: their greenlets, mailboxes and mail, their placement on workers and their removal.

Scenarios call this package as a function, `amoc.users({Buyer: 1, Browser: 9})`; see
`amoc.scenario.user_kinds`.
"""

import sys
from types import ModuleType


class _Users(ModuleType):
    """This package, made callable for scenarios."""

    @property
    def __call__(self) -> object:
        from amoc.scenario.user_kinds import users

        return users


sys.modules[__name__].__class__ = _Users
