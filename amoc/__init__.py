"""amoc runs a scenario for very many simulated users at once. This is what a scenario imports."""

from amoc import coordinator, events, metrics, throttle, user
from amoc import settings as config
from amoc._version import VERSION
from amoc.errors import AmocError, Error
from amoc.expecting import expect
from amoc.settings import setting
from amoc.user import receive, send, sleep

__all__ = [
    # what a scenario declares
    "Error",
    "expect",
    "setting",
    # what a user calls
    "config",
    "coordinator",
    "events",
    "metrics",
    "receive",
    "send",
    "sleep",
    "throttle",
    "user",
    # what a user may catch
    "AmocError",
]
__version__ = VERSION
