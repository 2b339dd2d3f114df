"""The public API of amoc, which runs a load-test scenario for large numbers of virtual users.

Names are loaded on first use. A program or a notebook that only starts runs does not load gevent,
and the command line starts fast.
"""

import sys
from typing import TYPE_CHECKING

from amoc.base import early_interrupt

early_interrupt.begin()  # before any slow import

# ruff: noqa: E402
from amoc._version import VERSION
from amoc.base import errors, lazy_names
from amoc.base.errors import AmocError, Error

if TYPE_CHECKING:
    from amoc import coordinator, feed, metrics, throttle
    from amoc.client import Client, RunResult, ServiceError, Stopped, read_run, run
    from amoc.results.thresholds.declared import expect
    from amoc.scenario import events
    from amoc.scenario import settings as config
    from amoc.scenario.settings import override, setting
    from amoc.scenario.user_kinds import users
    from amoc.steps import check, step
    from amoc.users import api as user
    from amoc.users.api import receive, send, sleep
    from amoc.users.run import stop_run

__all__ = [
    # what a scenario declares
    "Error",
    "expect",
    "override",
    "setting",
    "users",
    # what a user calls
    "check",
    "config",
    "coordinator",
    "events",
    "feed",
    "metrics",
    "receive",
    "run",
    "send",
    "sleep",
    "step",
    "stop_run",
    "throttle",
    "user",
    # what a user may catch
    "AmocError",
    # what a program, a notebook or a test calls, with its results and errors; also run
    "Client",
    "read_run",
    "RunResult",
    "ServiceError",
    "Stopped",
]
__version__ = VERSION

# Scenarios of earlier versions import exceptions from here.
sys.modules.setdefault(f"{__name__}.errors", errors)

if not TYPE_CHECKING:  # so that a type checker reports unknown names
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.client": ("Client", "RunResult", "ServiceError", "Stopped", "read_run", "run"),
            "amoc.results.thresholds.declared": ("expect",),
            "amoc.scenario.settings": ("override", "setting"),
            "amoc.steps": ("check", "step"),
            "amoc.users.api": ("receive", "send", "sleep"),
            "amoc.users.run": ("stop_run",),
        },
        {
            "config": "amoc.scenario.settings",
            "coordinator": "amoc.coordinator",
            "events": "amoc.scenario.events",
            "feed": "amoc.feed",
            "metrics": "amoc.metrics",
            "throttle": "amoc.throttle",
            "user": "amoc.users.api",
            "users": "amoc.users",
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
