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
    "large",
    ["asyncio", "email", "importlib.metadata", "jinja2", "numpy", "pydantic", "rich", "ssl", "xml"],
)
def test_what_only_some_processes_need_is_not_loaded_before_they_are_forked(
    loaded: set[str], large: str
) -> None:
    assert set(LOADED_BEFORE_FORKS) <= loaded
    assert large not in loaded


def test_with_nodes_on_other_hosts_all_that_a_run_needs_is_loaded_before_hosts_join() -> None:
    code = """
import ast, inspect, sys
from importlib import import_module
from amoc.cli import cluster, run

for name in cluster.LOADED_BEFORE:
    import_module(name)
wanted = [
    node.module
    for node in ast.walk(ast.parse(inspect.getsource(run.execute)))
    if isinstance(node, ast.ImportFrom)
]
assert "amoc.runtime.controller.controller" in wanted
print(*(name for name in wanted if name not in sys.modules and "summary_file" not in name))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.split() == []
