"""What the contenders of benchmarks/xmpp.py have in common: their arguments, pace and result.

A contender is a program of its own, so that only its own CPU time and memory are charged to it. It
logs its users in, lets them write to each other, and prints one line of JSON: a `Result`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
DEADLINE_S = 120.0
GRACE_S = 5.0
"""How long messages that are on their way are waited for."""
TEXT = "As long as a word among friends"
MARK = "RESULT "


@dataclass
class Result:
    """What a contender has done, and what it has cost.

    Attributes:
        name: The contender's.
        wanted: Messages that were to be sent; 0: as many as possible.
        sent: Messages that were.
        received: Messages that arrived; None where that is not known.
        late_ms: How late the latest message was sent, in milliseconds, by the sender's own fault.
        cpu_us: CPU time per message, sent and received, in microseconds.
        login_ms: CPU time per login, in milliseconds.
        user_kb: Memory per user that is logged in, in kB.
        pace_us: What of `cpu_us` a loop that keeps the pace and sends nothing takes, if known.
        errors: What users raised.
    """

    name: str
    wanted: int = 0
    sent: int = 0
    received: int | None = None
    late_ms: float | None = None
    cpu_us: float = 0.0
    login_ms: float = 0.0
    user_kb: float = 0.0
    pace_us: float = 0.0
    errors: list[str] = field(default_factory=list)

    def tell(self) -> int:
        """Print it for benchmarks/xmpp.py; the exit code."""
        self.errors = self.errors[:5] + [f"and {n} more" for n in [len(self.errors) - 5] if n > 0]
        print(MARK + json.dumps(asdict(self)))
        return 1 if self.errors else 0


def arguments() -> argparse.Namespace:
    """What benchmarks/xmpp.py tells a contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def memory_kb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1024


class Pace:
    """Says when the next message is due, evenly spaced, and how late the caller was."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.count = int(rate * seconds)
        self._interval = 1 / rate
        self._begin = time.monotonic()
        self.late_s = 0.0

    def wait_s(self, slot: int) -> float:
        """How long to wait for `slot`; below zero when it is late."""
        left = self._begin + slot * self._interval - time.monotonic()
        if left < -self.late_s:
            self.late_s = -left
        return left


class Deadline:
    """The end of all waiting for one thing."""

    def __init__(self, what: str, seconds: float = DEADLINE_S) -> None:
        self._what = what
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """End the program if it is over."""
        if time.monotonic() > self._end:
            sys.exit(f"not within the deadline: {self._what}")
