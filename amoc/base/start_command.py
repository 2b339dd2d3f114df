"""How amoc starts a module of its own as a process. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = str(Path(__file__).resolve().parents[2])
"""What the new process imports this very amoc from, which need not be installed."""
# Nothing of that reaches the environment of what the process starts in turn.
_START = (
    "import runpy, sys; sys.path.append({!r});"
    " runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
)


def start_command(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a module of amoc's as ``python -m`` does."""
    # -P: a random.py where the operator stands must not become the child's.
    return [sys.executable, "-P", "-c", _START.format(HERE, module), *arguments]
