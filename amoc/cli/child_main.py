"""Runs ``amoc …`` as the child of another process, and stops it gracefully when that one dies.

The kernel reports the parent's death by a signal, which the child requests itself, so that nothing
has to run between the parent's fork and exec. The signal arrives once per thread of the parent. A
second SIGTERM would end the run at once, so another signal is requested, whose handler sends
SIGTERM the first time only. Signals may also arrive while an earlier one is being handled.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable

from amoc.base import early_interrupt, process


def stop_once() -> Callable[..., None]:
    """Return a signal handler that sends SIGTERM to this process at its first call only."""
    # A call that interrupts another one cannot take the same item again.
    left = iter((signal.SIGTERM,))

    def stop(*_: object) -> None:
        process.parent_died = True
        for signum in left:
            os.kill(os.getpid(), signum)

    return stop


def main() -> None:
    """Run ``amoc ARGUMENTS`` as a child of the process whose id comes first in argv."""
    _, parent, *arguments = sys.argv
    sys.argv = ["amoc", *arguments]
    early_interrupt.begin()
    signal.signal(process.PARENT_DIED, stop_once())
    process.die_with(int(parent), process.PARENT_DIED)
    runpy.run_module("amoc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
