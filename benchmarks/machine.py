"""What a benchmark must say about the machine before it says anything else."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """The machine in one line: processor, cores, kernel, Python, and how busy it is already."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")),
        "?",
    )
    load = os.getloadavg()[0]
    return (
        f"machine: {model}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()},"
        f" CPython {platform.python_version()}, load {load:.2f}"
    )
