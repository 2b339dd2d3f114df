"""amoc runs a scenario for large numbers of simulated users. This is what a scenario imports."""

import sys

from amoc.base import early_interrupt

early_interrupt.begin()  # before anything that takes long

# ruff: noqa: E402
from amoc import coordinator, metrics, throttle
from amoc._version import VERSION
from amoc.base import errors
from amoc.base.errors import AmocError, Error
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

# Scenarios of earlier versions import exceptions from here.
sys.modules.setdefault(f"{__name__}.errors", errors)
