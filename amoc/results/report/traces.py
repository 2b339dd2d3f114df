"""Tracebacks as a page shows them: what the scenario did first, and not too long.

Each user's stack begins in amoc, which has called the scenario. Those frames say nothing, so they
are left out where others follow; how many they were is said. A stack that never leaves amoc stays
as it is. `summary.json` has all frames.
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
    """`traceback` without the frames of amoc that it begins with; of a long one both its ends."""
    return _ends("".join(_led(traceback.splitlines(keepends=True))))


def _led(lines: list[str]) -> Iterator[str]:
    """The lines, without the frames of amoc that lead to others."""
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
            # One exception that led to another: its stack has a heading of its own.
            leading, held, frames = frame is None and (leading or line.startswith("Trace")), [], 0
    yield from held


def _is_ours(path: str) -> bool:
    """Whether a file is amoc's, wherever it was installed."""
    _, found, name = path.rpartition("/amoc/")
    with suppress(OSError):  # too long for a name, say
        return bool(found) and name.endswith(".py") and (_PACKAGE / name).is_file()
    return False


def _ends(text: str) -> str:
    """A text whose middle is left out if it is very long: both its ends say something."""
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    missing = len(text) - 2 * half
    return f"{text[:half]}\n… {missing:,} characters left out …\n{text[-half:]}"
