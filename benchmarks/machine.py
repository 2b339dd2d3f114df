"""The machine that a benchmark runs on, printed before its figures."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def facts() -> dict[str, str]:
    """Return properties that figures depend on and that do not change while a program runs."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")),
        "?",
    )
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "Linux": platform.release(),
        "CPython": platform.python_version(),
        "gevent": version("gevent"),
    }


def load() -> float:
    """Return the load average of the last minute: processes running or waiting for a core."""
    return os.getloadavg()[0]


def describe() -> str:
    """Return the machine in one line, with its current load."""
    known = facts()
    return (
        f"machine: {known['processor']}, {known['cores']} cores, Linux {known['Linux']},"
        f" CPython {known['CPython']}, load {load():.2f}"
    )
