"""What the contenders of benchmarks/xmpp.py have in common: their arguments, pace and result.

A contender is a separate program, so that only its own CPU time and memory are charged to it. It
logs its users in, has them write to each other, and prints one line of JSON: a `Result`.
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
"""How long to wait for messages in transit."""
TEXT = "As long as a word among friends"
MARK = "RESULT "


@dataclass
class Result:
    """What a contender has done, and its cost.

    Attributes:
        name: The contender's.
        wanted: Messages to send; 0: as many as possible.
        sent: Messages that were sent.
        received: Messages that arrived; None if unknown.
        late_ms: Lateness of the latest message, in milliseconds, caused by the sender itself.
        cpu_us: CPU time per message, sent and received, in microseconds.
        login_ms: CPU time per login, in milliseconds.
        user_kb: Memory per logged-in user, in kB.
        pace_us: The part of `cpu_us` that keeping the pace takes without sending, if known.
        errors: Errors raised by users.
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
        """Print it for benchmarks/xmpp.py; return the exit code."""
        self.errors = self.errors[:5] + [f"and {n} more" for n in [len(self.errors) - 5] if n > 0]
        print(MARK + json.dumps(asdict(self)))
        return 1 if self.errors else 0


def arguments() -> argparse.Namespace:
    """Arguments that benchmarks/xmpp.py passes to a contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def memory_kb() -> float:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1024


class Pace:
    """When each message is due, evenly spaced, and how late the caller was."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.count = int(rate * seconds)
        self._interval = 1 / rate
        self._begin = time.monotonic()
        self.late_s = 0.0

    def wait_s(self, slot: int) -> float:
        """Return how long to wait for `slot`; negative if it is late."""
        left = self._begin + slot * self._interval - time.monotonic()
        if left < -self.late_s:
            self.late_s = -left
        return left


class Deadline:
    """A deadline for all waits for one thing."""

    def __init__(self, what: str, seconds: float = DEADLINE_S) -> None:
        self._what = what
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """End the program if the deadline has passed."""
        if time.monotonic() > self._end:
            sys.exit(f"not within the deadline: {self._what}")
