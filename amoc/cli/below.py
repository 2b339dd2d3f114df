"""``amoc …`` below another process: as in a shell, but it stops gracefully when that process dies.

The kernel tells it so with a signal. The new process itself asks for that, so that nothing is done
between the other's fork and exec. The signal comes once for each thread of the other process, and a
second SIGTERM would end the run at once; so it is another one, which sends SIGTERM the first time.
The next may come while the first is being handled.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable

from amoc.base import early_interrupt, process


def stop_once() -> Callable[..., None]:
    """A handler that sends this process SIGTERM, once however often it is called."""
    # No call gets what another one has taken, though it interrupts it.
    left = iter((signal.SIGTERM,))

    def stop(*_: object) -> None:
        process.parent_died = True
        for signum in left:
            os.kill(os.getpid(), signum)

    return stop


def main() -> None:
    """Run ``amoc ARGUMENTS`` below the process with the given id, its parent."""
    _, parent, *arguments = sys.argv
    sys.argv = ["amoc", *arguments]
    early_interrupt.begin()
    signal.signal(process.PARENT_DIED, stop_once())
    process.die_with(int(parent), process.PARENT_DIED)
    runpy.run_module("amoc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
