"""The command that starts a module of amoc as a process. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = str(Path(__file__).resolve().parents[2])
"""The directory from which the new process imports this same amoc, which may not be installed."""
# Not through PYTHONPATH, which processes started by the new process would inherit.
_START = (
    "import runpy, sys; sys.path.append({!r});"
    " runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
)


def start_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a module of amoc like ``python -m``."""
    # -P: a file random.py in the current directory must not replace the module random.
    return [sys.executable, "-P", "-c", _START.format(HERE, module), *arguments]
