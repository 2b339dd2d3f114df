"""What each process of a run has in memory, because it was loaded before they were forked."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED_BEFORE_FORKS = (
    "amoc.cli.main",
    "amoc.cli.run",
    "amoc.runtime.launched",
    "amoc.runtime.node.node",
    "amoc.runtime.worker.worker",
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    code = f"import sys, {', '.join(LOADED_BEFORE_FORKS)}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    "large", ["asyncio", "email", "jinja2", "numpy", "pydantic", "rich", "ssl", "xml"]
)
def test_what_only_some_processes_need_is_not_loaded_before_they_are_forked(
    loaded: set[str], large: str
) -> None:
    assert set(LOADED_BEFORE_FORKS) <= loaded
    assert large not in loaded
