"""What a benchmark must say about the machine before it says anything else."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def facts() -> dict[str, str]:
    """What figures depend on and does not change while a program runs."""
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
    """How many processes have been running or waiting for a core, on average of a minute."""
    return os.getloadavg()[0]


def describe() -> str:
    """The machine in one line, and how busy it is already."""
    known = facts()
    return (
        f"machine: {known['processor']}, {known['cores']} cores, Linux {known['Linux']},"
        f" CPython {known['CPython']}, load {load():.2f}"
    )
