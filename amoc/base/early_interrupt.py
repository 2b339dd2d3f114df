"""Ctrl-C during the imports of the command line, without a traceback. Pure.

Importing amoc takes a while before `amoc.cli.main.main` can catch anything, and so do the imports
of `amoc run` before it handles signals. At most a node has been started by then, which ends on its
own, so nothing is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from amoc.base.errors import ExitCode


def begin() -> None:
    """Exit at once on Ctrl-C, if this process is ``python -m amoc`` or ``amoc``."""
    by_module = sys.orig_argv[1:3] == ["-m", "amoc"]
    is_amoc = by_module or Path(sys.argv[0]).name == "amoc"
    if is_amoc and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(_signum: int, _frame: FrameType | None) -> None:
    os._exit(int(ExitCode.INTERRUPTED))


def end() -> None:
    """Restore the default: Ctrl-C raises `KeyboardInterrupt`."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
