"""What a program says of itself: figures, what was not reached, and what went wrong.

A figure may be said several times, once a round; its values show by how much rounds differ. A
program that fails has figures that mean nothing: a user raised, or something was lost. One that
only missed what was wanted has measured well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

FILE = "BENCHMARK_FIGURES"
"""The environment variable with the file that figures are added to, a line of JSON each."""


class Exit(IntEnum):
    """How a program ends."""

    DONE = 0
    FAILED = 1
    """A user raised, something was lost, or a part did not run."""
    MISSED = 3
    """Measured, and not what was wanted; or the machine was too busy to say."""


_exit = Exit.DONE


def figure(name: str, value: float, unit: str) -> None:
    """Keep a figure for `python -m benchmarks`, if that runs this program."""
    path = os.environ.get(FILE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"name": name, "value": value, "unit": unit}) + "\n")


def failed(text: str) -> None:
    """Say what went wrong."""
    global _exit
    print(f"FAILED: {text}", flush=True)
    _exit = Exit.FAILED


def missed(text: str) -> None:
    """Say what was wanted and not reached, or why nobody knows."""
    global _exit
    print(f"MISSED: {text}", flush=True)
    _exit = _exit or Exit.MISSED


def check_users(summary: Mapping[str, Any]) -> None:
    """Fail for users that raised, were lost, had to be killed or did not start, by a summary."""
    for what in ("crashed", "lost", "timed_out", "not_started"):
        if count := summary["users"][what]:
            failed(f"users {what.replace('_', ' ')}: {count}")


def exit_code() -> Exit:
    """How the program ends, by what it has said."""
    return _exit
