"""``amoc run`` below a daemon: as in a shell, but it stops gracefully when the daemon dies.

The kernel tells it so with a signal. The new process itself asks for that, so that nothing is done
between the daemon's fork and exec. The signal comes once for each thread of the daemon, and a
second SIGTERM would end the run at once; so it is another one, which sends SIGTERM the first time.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

from amoc.base import process

_DAEMON_DIED = signal.SIGUSR2


def _stop_once(*_: object) -> None:
    signal.signal(_DAEMON_DIED, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run ``amoc ARGUMENTS`` for the daemon with the given process id."""
    _, daemon, *arguments = sys.argv
    signal.signal(_DAEMON_DIED, _stop_once)
    process.die_with(int(daemon), _DAEMON_DIED)
    sys.argv = ["amoc", *arguments]
    runpy.run_module("amoc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
