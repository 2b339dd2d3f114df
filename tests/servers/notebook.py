"""The Python of AMOC_NOTEBOOK, which has pandas and a Jupyter kernel, for tests.

These are large, so they are in a separate environment, together with amoc's dependencies.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.process.support import DEADLINE_S, ROOT
from tests.servers.daemon import required

_PROGRAM = """
import json, sys
from nbclient import NotebookClient
from nbformat import v4

book = v4.new_notebook(cells=[v4.new_code_cell(one) for one in json.load(sys.stdin)])
where = {"metadata": {"path": "."}}
NotebookClient(book, timeout=60, kernel_name="python3", resources=where).execute()
print(json.dumps([[dict(one) for one in cell.outputs] for cell in book.cells]))
"""


def run(program: str, cwd: Path, *arguments: str, given: str = "") -> str:
    """Run a Python program with pandas; return its output."""
    python = os.environ.get("AMOC_NOTEBOOK", "")
    if not python:
        required("pandas and ipykernel are not installed (AMOC_NOTEBOOK may name a Python)")
    own = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(cwd / "ipython"), "HOME": str(cwd)}
    done = subprocess.run(
        [python, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, **own},
        input=given,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def executed(cells: Sequence[str], cwd: Path) -> list[list[dict[str, Any]]]:
    """Run a notebook; return the outputs of each cell."""
    found: list[list[dict[str, Any]]] = json.loads(run(_PROGRAM, cwd, given=json.dumps([*cells])))
    return found
