"""Tracebacks as shown in a page: the scenario's frames first, and limited in length.

Each user's stack begins in amoc, which has called the scenario. Those frames are of no interest, so
they are left out if others follow, and their number is shown instead. A stack that never leaves
amoc is not changed. `summary.json` has all frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from amoc.base.text import counted

MAX_TRACEBACK = 8_000

_PACKAGE = Path(__file__).parents[2]
_FRAME = re.compile(r'^  File "(?P<path>.*)", line \d+')
_OF_FRAME = ("    ", "  [Previous line repeated")
"""How lines begin that belong to the frame above."""


def shortened(traceback: str) -> str:
    """Return `traceback` without its leading frames of amoc; a long one is cut in the middle."""
    return _ends("".join(_led(traceback.splitlines(keepends=True))))


def _led(lines: list[str]) -> Iterator[str]:
    """Yield the lines, without the leading frames of amoc if others follow."""
    leading, frames = True, 0
    held: list[str] = []
    for line in lines:
        frame = _FRAME.match(line)
        if leading and frame and _is_ours(frame["path"]):
            held.append(line)
            frames += 1
        elif held and line.startswith(_OF_FRAME):
            held.append(line)
        else:
            if held:
                yield from [f"  … {counted(frames, 'frame')} of amoc …\n"] if frame else held
            yield line
            # When one exception led to another, each stack has its own heading.
            leading, held, frames = frame is None and (leading or line.startswith("Trace")), [], 0
    yield from held


def _is_ours(path: str) -> bool:
    """Return whether a file belongs to amoc, wherever it was installed."""
    _, found, name = path.rpartition("/amoc/")
    with suppress(OSError):  # for example, too long for a file name
        return bool(found) and name.endswith(".py") and (_PACKAGE / name).is_file()
    return False


def _ends(text: str) -> str:
    """Leave out the middle of a very long text; both its ends matter."""
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    missing = len(text) - 2 * half
    return f"{text[:half]}\n… {missing:,} characters left out …\n{text[-half:]}"
