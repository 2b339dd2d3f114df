"""Failed logins leak nothing in real processes: no descriptors, objects or memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_many_failed_logins_leak_no_descriptors_cycles_or_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.xmpp_failures", "--times", "1000", "--growth", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("+0 descriptors  0 objects for the collector") == 4
