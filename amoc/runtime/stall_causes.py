"""The causes of stalls of a worker's event loop: from sampled stacks to one line of code. Pure.

During a stall the loop does not run, and the main thread's stack is sampled again and again
(`amoc.runtime.worker.stall_detector`). Consecutive samples of the same greenlet are one turn of it:
it let no other run in that time, and the innermost line of the scenario is where it blocked. The
rest of a stall, with a different greenlet in each sample, has no single cause: there are too many
users, and the place is `CROWDED`.

Stacks are written and read in the format of `faulthandler`, latest call first, because only that
can read a stack while the interpreter itself is stuck.
"""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from amoc.base.clock import MS_NS, S_NS
from amoc.ipc.messages.users import Blocked

CROWDED = "many users, each for a short time"
COLLECTOR = "the garbage collector"
OTHERS = "other places"
"""The common place of all stalls after the first `MAX_PLACES` places."""
MAX_PLACES = 100
MAX_FRAMES = 60
"""Most frames of a stack to keep, from the innermost."""
SURE_NS = 15 * MS_NS
"""A greenlet seen running for this long is not one of many that took turns."""
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


class Frame(NamedTuple):
    """One call in a stack."""

    file: str
    line: int
    name: str

    @property
    def place(self) -> str:
        """The call as text for people."""
        return f"{Path(self.file).name}:{self.line} in {self.name}"


Stack = Sequence[Frame]
"""Calls, latest first."""


class Look(NamedTuple):
    """A sample of the main thread's stack during a stall."""

    at_ns: int
    since_ns: int
    """When the sample was due; it is late if the interpreter was not free."""
    greenlet: object
    """Identifies the greenlet: the same object means the same greenlet."""
    stack: Stack


def place_of(stack: Stack, directory: str) -> str:
    """Return the place of a stack in one line; empty if it contains only the loop's own code.

    Args:
        stack: The stack.
        directory: Directory of the scenario's files; the innermost line in one of them is named.
    """
    own = [frame for frame in stack if _is_own(frame.file, directory)]
    if own:
        return own[0].place
    if not stack or _is_loop(stack[0].file):
        return ""
    return stack[0].place


def _is_own(file: str, directory: str) -> bool:
    # A virtual environment may be in the scenario's directory.
    return bool(directory) and file.startswith(f"{directory}/") and "/site-packages/" not in file


def _is_loop(file: str) -> bool:
    return file.endswith(("/gevent/hub.py", "/gevent/_hub_local.py"))


def to_text(stack: Stack, thread: int) -> str:
    """Return a thread's stack in the format of `faulthandler`."""
    lines = [f'  File "{file}", line {line} in {name}\n' for file, line, name in stack]
    return "".join([f"Thread {thread:#018x} (most recent call first):\n", *lines])


def from_text(text: str, thread: int) -> Stack:
    """Return the stack of `thread` from such text; empty if it is not in there."""
    found = re.search(rf"hread 0x0*{thread:x}\b.*\n((?:  File .*\n)+)", text)
    frames = _FRAME.findall(found[1]) if found else []
    return [Frame(file, int(line), name) for file, line, name in frames]


def trace_of(stack: Stack) -> str:
    """Return a stack for people, with the text of each line, latest call last."""
    frames = [traceback.FrameSummary(file, line, name) for file, line, name in reversed(stack)]
    return "".join(traceback.format_list(frames))


def sentence_of(blocked: Blocked) -> str:
    """Return the message for the operator about a new place."""
    times = f", {blocked.times} times" if blocked.times > 1 else ""
    how_long = f"worker {blocked.worker} was blocked for {_duration(blocked.longest_ns)}{times}"
    if blocked.place == CROWDED:
        return f"{how_long}: {CROWDED}; use more workers (--workers) or hosts, or fewer users"
    if blocked.place == COLLECTOR:
        return f"{how_long}: {COLLECTOR} was running; create fewer objects with reference cycles"
    return (
        f"{how_long} at {blocked.place}: a blocking user holds up all others of its worker,"
        " and delays their measurements by as much"
    )


def _duration(ns: int) -> str:
    return f"{ns / S_NS:.3g} s" if ns >= S_NS else f"{ns // MS_NS} ms"


class Cause(NamedTuple):
    """The cause of a stall, or of a part of it."""

    place: str
    ns: int
    """Duration of the stall."""
    stack: Stack


def causes_of(
    looks: Sequence[Look], began_ns: int, ended_ns: int, directory: str, least_ns: int
) -> list[Cause]:
    """Return what kept the loop from running, in order.

    Args:
        looks: The samples, in order.
        began_ns: Start of the stall.
        ended_ns: End of the stall.
        directory: Directory of the scenario's files.
        least_ns: Shorter causes are ignored.
    """
    causes, rest_ns, before_ns = [], 0, began_ns
    turns = [list(turn) for _, turn in groupby(looks, key=lambda look: id(look.greenlet))]
    for turn in turns:
        until_ns = ended_ns if turn is turns[-1] else turn[-1].at_ns
        seen_ns = turn[-1].at_ns - turn[0].since_ns
        ns = until_ns - before_ns
        before_ns = until_ns
        if seen_ns < SURE_NS or ns < least_ns:
            rest_ns += ns
        elif found := _usual(turn, directory):
            causes.append(Cause(found[0], ns, found[1]))
    if len(turns) > 1 and rest_ns >= least_ns:
        causes.append(Cause(CROWDED, rest_ns, ()))
    return causes


def _usual(looks: Sequence[Look], directory: str) -> tuple[str, Stack] | None:
    """Return the place seen most often, with a stack of it; None if no sample has a place."""
    stacks = {place_of(look.stack, directory): look.stack for look in looks}
    counts = Counter(place_of(look.stack, directory) for look in looks)
    del counts[""]
    return (place := counts.most_common(1)[0][0], stacks[place]) if counts else None


@dataclass
class _Counts:
    times: int = 0
    total_ns: int = 0
    longest_ns: int = 0
    trace: str = ""


@dataclass
class Stalls:
    """Stalls of one worker by place, until they are reported."""

    worker: int
    _known: set[str] = field(default_factory=set)
    _unreported: dict[str, _Counts] = field(default_factory=dict)

    def note(self, cause: Cause) -> None:
        """Record a cause."""
        place, ns, stack = cause
        if place not in self._known and len(self._known) >= MAX_PLACES:
            place, stack = OTHERS, ()
        counts = self._unreported.setdefault(place, _Counts())
        counts.times += 1
        counts.total_ns += ns
        counts.longest_ns = max(counts.longest_ns, ns)
        if place not in self._known:
            self._known.add(place)
            counts.trace = trace_of(stack)

    def take(self) -> list[Blocked]:
        """Return what was recorded since the last call; the first of a place has a stack."""
        unreported, self._unreported = self._unreported, {}
        return [
            Blocked(self.worker, place, one.times, one.total_ns, one.longest_ns, one.trace)
            for place, one in unreported.items()
        ]
