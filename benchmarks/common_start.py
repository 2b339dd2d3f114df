"""A common start for the users of a scenario: all have started before the first one is measured.

Scenarios import it as a module in their own directory.
"""

import os
from pathlib import Path

from amoc import coordinator
from amoc.base.clock import S_NS, now_ns

START_S = 60.0
LEAD_S = 0.3
"""For the program to read when users begin, and look at the processes' CPU time."""


def common_begin_ns(user_id: int, users: int) -> int:
    """Wait until all `users` users have started; return when to begin, on the monotonic clock."""
    coordinator.barrier("start", users, timeout=START_S)
    begin_ns = now_ns() + int(LEAD_S * S_NS)
    if user_id == 1:
        path = Path(os.environ["BENCHMARK_DIRECTORY"]) / "begin"
        path.with_suffix(".part").write_text(str(begin_ns / S_NS))
        path.with_suffix(".part").rename(path)
    return begin_ns
