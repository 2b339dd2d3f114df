"""The memory of every process of a run, step by step, and whether it grows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks import outcome
from benchmarks.processes import cpu_s, family, rss_bytes

SPARE_MIB = 2.0


class Memory:
    """Memory, descriptors and CPU time of the processes of a run, and of others.

    Attributes:
        rows: The measurements, as rows of a table with a header.
    """

    def __init__(self, controller: int, others: Mapping[int, str] | None = None) -> None:
        self._roles = family(controller) | dict(others or {})
        self._mib: dict[int, list[float]] = {pid: [] for pid in self._roles}
        self._fds: dict[int, list[int]] = {pid: [] for pid in self._roles}
        self._cpu = {pid: cpu_s(pid) for pid in self._roles}
        self._at = time.monotonic()
        self.rows: list[list[object]] = [["step", "process", "MiB", "descriptors", "CPU"]]

    def step(self, name: str) -> None:
        """Measure and print the current values."""
        now = time.monotonic()
        parts = []
        for pid, role in self._roles.items():
            self._mib[pid].append(rss_bytes(pid) / 2**20)
            self._fds[pid].append(descriptors(pid))
            cpu = cpu_s(pid)
            share = (cpu - self._cpu[pid]) / max(now - self._at, 1e-3)
            self._cpu[pid] = cpu
            mib, fds = self._mib[pid][-1], self._fds[pid][-1]
            self.rows.append([name, role, round(mib, 2), fds, round(share, 4)])
            parts.append(f"{role} {mib:.1f} MiB, {fds} fds, {share:.1%}")
            outcome.figure(f"{role}, memory", mib, "MiB")
            if len(self._mib[pid]) > 1:
                outcome.figure(f"{role}, CPU", share * 100, "%")
        self._at = now
        print(f"{name}: " + " | ".join(parts), flush=True)

    def grown(self, first: int, percent: float) -> list[str]:
        """Return the processes that have grown since step `first`, in memory or descriptors."""
        found = []
        for pid, role in self._roles.items():
            mib, fds = self._mib[pid][first:], self._fds[pid][first:]
            bound = mib[0] * percent / 100 + SPARE_MIB
            if mib[-1] - mib[0] > bound:
                found.append(
                    f"{role} grew from {mib[0]:.1f} to {mib[-1]:.1f} MiB, more than {bound:.1f} MiB"
                )
            if fds[-1] > fds[0]:
                found.append(f"{role} had {fds[0]} descriptors, then {fds[-1]}")
        return found


def descriptors(pid: int) -> int:
    """Return the number of open descriptors of a process; 0 if it has ended."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0
