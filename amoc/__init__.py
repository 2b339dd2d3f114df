"""amoc runs a scenario for large numbers of simulated users. This is what a scenario imports.

A name is loaded when it is first asked for. So a program or a notebook that starts runs loads no
gevent, and the command line is quick.
"""

import importlib
import sys
from typing import TYPE_CHECKING

from amoc.base import early_interrupt

early_interrupt.begin()  # before anything that takes long

# ruff: noqa: E402
from amoc._version import VERSION
from amoc.base import errors
from amoc.base.errors import AmocError, Error

if TYPE_CHECKING:
    from amoc import coordinator, metrics, throttle
    from amoc.results.thresholds.declared import expect
    from amoc.scenario import events
    from amoc.scenario import settings as config
    from amoc.scenario.settings import override, setting
    from amoc.steps import check, step
    from amoc.users import api as user
    from amoc.users.api import receive, send, sleep

__all__ = [
    # what a scenario declares
    "Error",
    "expect",
    "override",
    "setting",
    # what a user calls
    "check",
    "config",
    "coordinator",
    "events",
    "metrics",
    "receive",
    "send",
    "sleep",
    "step",
    "throttle",
    "user",
    # what a user may catch
    "AmocError",
]
__version__ = VERSION

_MODULES = {
    "config": "amoc.scenario.settings",
    "coordinator": "amoc.coordinator",
    "events": "amoc.scenario.events",
    "metrics": "amoc.metrics",
    "throttle": "amoc.throttle",
    "user": "amoc.users.api",
}
_FROM = {
    "amoc.results.thresholds.declared": ("expect",),
    "amoc.scenario.settings": ("override", "setting"),
    "amoc.steps": ("check", "step"),
    "amoc.users.api": ("receive", "send", "sleep"),
}
_PLACES = {name: module for module, names in _FROM.items() for name in names}

# Scenarios of earlier versions import exceptions from here.
sys.modules.setdefault(f"{__name__}.errors", errors)


def __getattr__(name: str) -> object:
    found: object
    if name in _MODULES:
        found = importlib.import_module(_MODULES[name])
    elif name in _PLACES:
        found = getattr(importlib.import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found  # the next look-up finds it at once
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
