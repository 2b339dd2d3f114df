"""Versions and machine of a run, recorded so that runs can be compared."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from amoc._version import VERSION


def versions() -> dict[str, str]:
    """Return the versions of amoc and its dependencies, and the machine."""
    import gevent  # here, since reading results requires neither; a run has loaded both
    import zmq

    return {
        "amoc": VERSION,
        "python": platform.python_version(),
        "gevent": gevent.__version__,
        "pyzmq": zmq.__version__,
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
