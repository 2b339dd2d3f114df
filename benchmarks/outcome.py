"""Results of a program: figures, missed goals, and failures.

A figure may be reported several times, once a round; its values show how much rounds differ. The
figures of a program that fails are meaningless: a user raised, or something was lost. A program
that only missed a goal has measured correctly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

FILE = "BENCHMARK_FIGURES"
"""Environment variable with the file to which figures are added, as lines of JSON."""


class Exit(IntEnum):
    """How a program ends."""

    DONE = 0
    FAILED = 1
    """A user raised, something was lost, or a part did not run."""
    MISSED = 3
    """It measured, but missed a goal; or the machine was too busy for a verdict."""


_exit = Exit.DONE


def figure(name: str, value: float, unit: str) -> None:
    """Record a figure for `python -m benchmarks`, if that runs this program."""
    path = os.environ.get(FILE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"name": name, "value": value, "unit": unit}) + "\n")


def failed(text: str) -> None:
    """Report a failure."""
    global _exit
    print(f"FAILED: {text}", flush=True)
    _exit = Exit.FAILED


def missed(text: str) -> None:
    """Report a goal that was missed, or why there is no verdict."""
    global _exit
    print(f"MISSED: {text}", flush=True)
    _exit = _exit or Exit.MISSED


def check_users(summary: Mapping[str, Any]) -> None:
    """Fail for users that raised, were lost, had to be killed or did not start, from a summary."""
    for what in ("crashed", "lost", "timed_out", "not_started"):
        if count := summary["users"][what]:
            failed(f"users {what.replace('_', ' ')}: {count}")


def exit_code() -> Exit:
    """Return how the program ends, from its reports."""
    return _exit
