"""The functions of a walk through the processes of a run are counted, if Python can trace them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 12), reason="Python 3.11 has no sys.monitoring; one other is enough"
)
def test_the_walk_of_a_coordinators_group_passes_through_the_node() -> None:
    command = [sys.executable, "-m", "benchmarks.walks", "coordinator", "--runs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    functions = done.stdout.splitlines()
    assert len(functions) > 20, done.stdout
    assert any(one.startswith("coordinator/") for one in functions)
    assert any(one.startswith("runtime/node/") for one in functions)
