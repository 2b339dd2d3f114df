"""``amoc …`` below another process: as in a shell, but it stops gracefully when that process dies.

The kernel tells it so with a signal. The new process itself asks for that, so that nothing is done
between the other's fork and exec. The signal comes once for each thread of the other process, and a
second SIGTERM would end the run at once; so it is another one, which sends SIGTERM the first time.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

from amoc.base import early_interrupt, process

_PARENT_DIED = signal.SIGUSR2


def _stop_once(*_: object) -> None:
    signal.signal(_PARENT_DIED, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run ``amoc ARGUMENTS`` below the process with the given id, its parent."""
    _, parent, *arguments = sys.argv
    sys.argv = ["amoc", *arguments]
    early_interrupt.begin()
    signal.signal(_PARENT_DIED, _stop_once)
    process.die_with(int(parent), _PARENT_DIED)
    runpy.run_module("amoc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
