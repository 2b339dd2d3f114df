"""The processes of a run, and their CPU times, for benchmarks that start `amoc run`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def family(controller: int) -> dict[int, str]:
    """Return the processes of a run by role: ``controller``, ``node``, ``worker 0`` and so on."""
    above = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            above[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = {controller: "controller"}
    for _ in range(4):  # controller, node, supervisor, workers
        for pid, parent in above.items():
            if parent in found and pid not in found:
                title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                found[pid] = title.removeprefix("amoc: ").split(" (")[0]
    return found


def cpu_s(pid: int) -> float:
    """Return a process's CPU time, user and system; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def exact_cpu_s(pid: int) -> float:
    """Like `cpu_s`, in nanoseconds, for the threads that have not ended."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes, with shared pages divided by those that share them."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def wake_ups(pid: int) -> int:
    """Return the number of voluntary context switches of a process's threads, that is, wake-ups."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            text = (thread / "status").read_text()
            total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session of a process."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
