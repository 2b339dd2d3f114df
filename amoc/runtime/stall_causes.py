"""What kept a worker's loop from turning: from stacks seen meanwhile to one line of code. Pure.

A stall is the time in which a loop did not turn. While it lasts the main thread's stack is looked
at again and again (`amoc.runtime.worker.stall_detector`). Looks that follow each other and show the
same greenlet are a turn of it: it let nobody else run in all that time, and the innermost line of
the scenario is the place where it blocked. What is left of a stall, with a different greenlet at
each look, is nobody's: there are too many users, and `CROWDED` is the place.

Stacks are written and read in the form of `faulthandler`, the latest call first: where the
interpreter itself stands still only that can see one.
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
"""What all places after the first `MAX_PLACES` count as."""
MAX_PLACES = 100
MAX_FRAMES = 60
"""Frames of a stack that are kept, from the innermost."""
SURE_NS = 15 * MS_NS
"""A greenlet that was seen to run for so long is not one of many that took turns."""
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


class Frame(NamedTuple):
    """One call of a stack."""

    file: str
    line: int
    name: str

    @property
    def place(self) -> str:
        """How a person is told of it."""
        return f"{Path(self.file).name}:{self.line} in {self.name}"


Stack = Sequence[Frame]
"""Calls, the latest first."""


class Look(NamedTuple):
    """The main thread's stack at one moment of a stall."""

    at_ns: int
    since_ns: int
    """When the look was due; later means that the interpreter did not allow it."""
    greenlet: object
    """The same object means the same greenlet."""
    stack: Stack


def place_of(stack: Stack, directory: str) -> str:
    """Where a stack stands, in one line; empty when nobody's code is in it but the loop's.

    Args:
        stack: What was found.
        directory: Where the scenario's files are; the innermost line of one of them is named.
    """
    own = [frame for frame in stack if _is_own(frame.file, directory)]
    if own:
        return own[0].place
    if not stack or _is_loop(stack[0].file):
        return ""
    return stack[0].place


def _is_own(file: str, directory: str) -> bool:
    # A virtual environment may be beside the scenario.
    return bool(directory) and file.startswith(f"{directory}/") and "/site-packages/" not in file


def _is_loop(file: str) -> bool:
    return file.endswith(("/gevent/hub.py", "/gevent/_hub_local.py"))


def to_text(stack: Stack, thread: int) -> str:
    """A thread's stack as `faulthandler` writes it."""
    lines = [f'  File "{file}", line {line} in {name}\n' for file, line, name in stack]
    return "".join([f"Thread {thread:#018x} (most recent call first):\n", *lines])


def from_text(text: str, thread: int) -> Stack:
    """The stack of `thread` in what `to_text` or `faulthandler` wrote; empty where it is not."""
    found = re.search(rf"hread 0x0*{thread:x}\b.*\n((?:  File .*\n)+)", text)
    frames = _FRAME.findall(found[1]) if found else []
    return [Frame(file, int(line), name) for file, line, name in frames]


def trace_of(stack: Stack) -> str:
    """A stack for people, with the lines' text, the latest call last."""
    frames = [traceback.FrameSummary(file, line, name) for file, line, name in reversed(stack)]
    return "".join(traceback.format_list(frames))


def sentence_of(blocked: Blocked) -> str:
    """What the operator is told of a place the first time."""
    times = f", {blocked.times} times" if blocked.times > 1 else ""
    how_long = f"worker {blocked.worker} stood still for {_duration(blocked.longest_ns)}{times}"
    if blocked.place == CROWDED:
        return f"{how_long}: {CROWDED}; use more workers (--workers) or hosts, or fewer users"
    if blocked.place == COLLECTOR:
        return f"{how_long}: {COLLECTOR} held it up; create fewer objects with reference cycles"
    return (
        f"{how_long} at {blocked.place}: a user that blocks holds up all others of its worker,"
        " and their measurements are off by as much"
    )


def _duration(ns: int) -> str:
    return f"{ns / S_NS:.3g} s" if ns >= S_NS else f"{ns // MS_NS} ms"


class Cause(NamedTuple):
    """What a stall, or a part of it, is due to."""

    place: str
    ns: int
    """How long it was."""
    stack: Stack


def causes_of(
    looks: Sequence[Look], began_ns: int, ended_ns: int, directory: str, least_ns: int
) -> list[Cause]:
    """What kept the loop from turning, in order.

    Args:
        looks: In order.
        began_ns: When the stall began.
        ended_ns: When it ended.
        directory: Where the scenario's files are.
        least_ns: What is shorter is not worth a word.
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
    """The place that was seen most often, and a stack of it; None where there is no place."""
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
    """Stalls of one worker by place, until they are told."""

    worker: int
    _known: set[str] = field(default_factory=set)
    _untold: dict[str, _Counts] = field(default_factory=dict)

    def note(self, cause: Cause) -> None:
        """Something has kept the loop from turning."""
        place, ns, stack = cause
        if place not in self._known and len(self._known) >= MAX_PLACES:
            place, stack = OTHERS, ()
        counts = self._untold.setdefault(place, _Counts())
        counts.times += 1
        counts.total_ns += ns
        counts.longest_ns = max(counts.longest_ns, ns)
        if place not in self._known:
            self._known.add(place)
            counts.trace = trace_of(stack)

    def tell(self) -> list[Blocked]:
        """What was noted since this was called before; a stack comes with the first of a place."""
        untold, self._untold = self._untold, {}
        return [
            Blocked(self.worker, place, one.times, one.total_ns, one.longest_ns, one.trace)
            for place, one in untold.items()
        ]
