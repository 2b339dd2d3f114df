"""Deadlines for busy machines: time in which a process waited for a core does not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

DEADLINE_S = 60.0
"""Longest wait, not counting time in which some process waited for a core."""
LONGEST_S = 5 * DEADLINE_S
"""Longest wait, counting that time as well."""
_PRESSURE = Path("/proc/pressure/cpu")


def stalled_s() -> float:
    """Return how long some process of this machine has waited for a core since the boot."""
    with suppress(OSError):  # a kernel without pressure statistics
        line = _PRESSURE.read_text().splitlines()[0]
        return int(line.rpartition("total=")[2]) / 1e6
    return 0.0


def eventually(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until a condition holds; the test fails with `what` if it does not."""
    begun_s, stalled = time.monotonic(), stalled_s()
    while not condition():
        took_s = time.monotonic() - begun_s
        in_time = took_s - (stalled_s() - stalled) < DEADLINE_S and took_s < LONGEST_S
        assert in_time, f"not within {took_s:.0f} s: {what()}"
        time.sleep(0.05)
