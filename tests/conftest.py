"""What all tests share.

Hypothesis has no deadlines, for on a shared machine a pause is none. And signals that whoever
started the tests has ignored (a script does so for what it runs in the background) are not ignored
here: amoc respects that, and the tests send them.

Tests with browsers and servers need to be run with one interpreter only.
"""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("amoc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amoc")

for signum in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(signum) is signal.SIG_IGN:
        handler = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
        signal.signal(signum, handler)

ONCE = ("browser", "servers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent.name in ONCE or "prosody" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.once)
