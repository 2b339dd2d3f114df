"""Modules shared by the processes of a run because they were imported before the fork."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

LOADED_BEFORE_FORKS = (
    "amoc.cli.main",
    "amoc.cli.run",
    "amoc.runtime.launched",
    "amoc.runtime.host",
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    code = f"import sys, {', '.join(LOADED_BEFORE_FORKS)}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    "large",
    [
        *("asyncio", "email", "importlib.metadata", "jinja2", "numpy", "pydantic", "rich", "ssl"),
        *("difflib", "getpass", "tomllib", "unicodedata", "xml"),
        *("amoc.runtime.node.node", "amoc.runtime.worker.worker"),
        *("amoc.control.answers", "amoc.results.summary", "amoc.results.thresholds.threshold"),
    ],
)
def test_modules_needed_by_some_processes_are_not_loaded_before_the_fork(
    loaded: set[str], large: str
) -> None:
    assert set(LOADED_BEFORE_FORKS) <= loaded
    assert large not in loaded


@pytest.mark.slow
def test_patching_loads_nothing_but_ssl_anew_in_the_process_that_forks_workers() -> None:
    code = f"""
import sys, {", ".join(LOADED_BEFORE_FORKS)}
from amoc.runtime.supervisor import monkey_patch
before = set(sys.modules)
monkey_patch.patch()
import gevent
gevent.get_hub()
print(*sys.modules.keys() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    # Which module patches threads depends on the version of Python.
    anew = {one for one in found.stdout.split() if not one.startswith("gevent.monkey._patch")}
    assert anew - {"_threading_local"} == {"ssl", "_ssl", "gevent.ssl"}


def test_display_and_results_modules_are_not_loaded_before_users_start() -> None:
    code = (
        "import sys, amoc.cli.view.shown_run, amoc.runtime.controller.controller;"
        "print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = set(found.stdout.split())
    assert "amoc.runtime.controller.run_files" in loaded
    assert not loaded & {"amoc.results.summary", "amoc.results.saved_run", "rich", "termios"}


def test_without_a_terminal_table_modules_are_not_loaded_during_a_run() -> None:
    code = (
        "import sys; from amoc.cli.view.shown_run import ShownRun; view = ShownRun(sys.stderr);"
        "view.load(); view.event('info', 'some event'); print('rich' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert (found.stdout, found.stderr) == ("False\n", "amoc: some event\n")


def test_with_remote_nodes_all_modules_are_loaded_before_hosts_join() -> None:
    code = """
import ast, inspect, sys
from importlib import import_module
from amoc.cli import cluster, run
from amoc.cli.view.shown_run import ShownRun, view_of

for name in cluster.LOADED_BEFORE:
    import_module(name)
wanted = [
    node.module
    for code in (run.execute, ShownRun, view_of)
    for node in ast.walk(ast.parse(inspect.getsource(code)))
    if isinstance(node, ast.ImportFrom)
]
assert {"amoc.runtime.controller.controller", "amoc.cli.view.live"} <= set(wanted)
print(*(name for name in wanted if name not in sys.modules and "summary_file" not in name))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.split() == []


@pytest.mark.slow
def test_no_process_of_a_plain_run_loads_unneeded_modules(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def start(user_id): pass\n")
    run = [sys.executable, "-X", "importtime", "-m", "amoc", "run", "plain.py", "--duration=0.1s"]
    done = subprocess.run(run, capture_output=True, check=True, text=True, cwd=tmp_path, timeout=60)
    # what the node's processes say on standard error is in the run's output
    said = re.findall(r"import time:.*\| +(\S+)", done.stdout + done.stderr)
    assert {"amoc.runtime.controller.controller", "jinja2", "rich", "gevent.ssl"} <= set(said)
    heavy = ("amoc.http", "amoc.xmpp", "amoc.service", "asyncio", "email", "flask", "httptools")
    metadata = ("importlib.metadata", "importlib.resources", "zipfile", "tomllib", "difflib")
    for name in (
        *heavy,
        *metadata,
        "numpy",
        "pydantic",
        "slixmpp",
        "sqlite3",
        "rich._emoji_codes",
        "rich.live",
    ):
        assert name not in said
