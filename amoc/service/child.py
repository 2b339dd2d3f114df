"""``amoc run`` below a daemon: as in a shell, but it stops gracefully when the daemon dies.

The kernel sends SIGTERM when the daemon dies, which is what an operator would send. It is asked to
by the new process itself, so that nothing is done between the daemon's fork and exec.
"""

from __future__ import annotations

import runpy
import signal
import sys

from amoc.base import process


def main() -> None:
    """Run ``amoc ARGUMENTS`` for the daemon with the given process id."""
    _, daemon, *arguments = sys.argv
    process.die_with(int(daemon), signal.SIGTERM)
    sys.argv = ["amoc", *arguments]
    runpy.run_module("amoc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
