"""Detects what blocks a worker's event loop, while it happens.

A thread waits for an alarm that the worker's heartbeat postpones at each beat. So as long as the
loop runs, the cost is one system call per beat, and the thread does not contend for the
interpreter. If a beat is late, the thread wakes up and reads the main thread's stack, again and
again until the beat comes:

- Python code is seen while it runs, and so are calls into C that release the interpreter;
- a call into C that holds the interpreter is seen when it returns, still at its line.

Nothing is done to the main thread. No signal interrupts its system calls, and stacks are read by a
thread that holds the interpreter, so none changes meanwhile. (The watchdog of `faulthandler` does
not hold it; while Python code runs, it can crash the process.)

A loop that hangs for longer than `LONG_NS` also leaves its stack in a file, for the node to read,
as a worker that never recovers cannot report. If not even the thread gets the interpreter, the node
sends `SIGNAL`, which only the thread accepts, and whose handler is that of `faulthandler`: it
writes all stacks without the interpreter. That is safe then, because the main thread stays in its C
code.

The first line of the file names the main thread and the scenario's directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from gevent import get_hub, monkey

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.run_clock import to_host_ns
from amoc.base.timerfd import ABSTIME, new_timer
from amoc.ipc.messages.users import Blocked
from amoc.runtime.stack_file import SIGNAL
from amoc.runtime.stall_causes import (
    COLLECTOR,
    MAX_FRAMES,
    Cause,
    Frame,
    Look,
    Stack,
    Stalls,
    causes_of,
    to_text,
)

BLOCKED_NS = 100 * MS_NS
"""A loop that has not run for this long was blocked."""
LOOK_NS = 20 * MS_NS
"""How late a beat is when the stack is first read, and the interval until it is read again."""
LONG_NS = S_NS
"""A stall of this length is left for the node to read, and the stack is read ever less often."""
NEVER_NS = 1 << 62
MAX_LOOKS = 100
_TIMER_SPEC = ctypes.c_long * 4
"""Interval and value, in s and ns."""


@dataclass
class _Stall:
    """What was seen between two beats, the second of which may be late.

    Attributes:
        set_ns: Time of the first beat.
        due_ns: When the second beat is due.
        next_ns: When to read the stack next.
        began_ns: When the blocking turn of the loop started.
        left: Whether a stack was left for the node.
        looks: The stacks read so far.
    """

    set_ns: int
    due_ns: int
    next_ns: int
    began_ns: int = 0
    left: bool = False
    looks: list[Look] = field(default_factory=list)


class StallDetector:
    """Finds out why an event loop does not run."""

    def __init__(self, worker: int, directory: str, file: Path) -> None:
        """Watch the calling thread, which runs the loop.

        Args:
            worker: The worker's index.
            directory: Directory of the scenario's files.
            file: Where to leave the stack of a stall; if it cannot be created, none is left.

        Raises:
            ResourceError: The system has no free file descriptor.
        """
        self._directory = directory
        self._stalls = Stalls(worker)
        self._stall = _Stall(0, 0, 0)
        self._loop = get_hub().loop
        self._timer = _Timer()
        # The originals, not gevent's: this is about real threads.
        self._watched: int = monkey.get_original("_thread", "get_ident")()
        self._header = f"{self._watched:x} {directory}\n".encode(errors="backslashreplace")
        self._file = _make(file)
        # System calls of the main thread must not be interrupted.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        if self._file >= 0:
            faulthandler.register(SIGNAL, file=self._file, all_threads=True)
        ready = monkey.get_original("_thread", "allocate_lock")()
        ready.acquire()
        monkey.get_original("_thread", "start_new_thread")(self._watch, (ready.release,))
        ready.acquire()  # otherwise a user might hang before it is watched

    def set(self, due_ns: int) -> None:
        """Record that the loop runs, and that its next turn is due at `due_ns`."""
        # A new object each time: the thread may be about to record something of the previous one.
        self._stall = _Stall(now_ns(), due_ns, due_ns + LOOK_NS)
        self._timer.set(due_ns + LOOK_NS)

    def rest(self) -> None:
        """Record that the loop waits for events, for any length of time."""
        self._stall = _Stall(now_ns(), NEVER_NS, NEVER_NS)
        self._timer.set(0)  # disarm it

    def turned(self, cpu_wait_ns: int, collected_ns: int) -> None:
        """Process a turn of the loop, which may be late.

        Args:
            cpu_wait_ns: How long the main thread has waited for a CPU since `set`.
            collected_ns: How long the garbage collector has held it up.
        """
        stall = self._stall
        if stall.left:
            self._clean()
        looks, ended_ns = list(stall.looks), now_ns()
        stalled_ns = ended_ns - stall.began_ns
        # One user may have waited for a CPU all that time, which is not its fault.
        least_ns = BLOCKED_NS + cpu_wait_ns
        if not looks or stalled_ns < least_ns:
            return
        if collected_ns > stalled_ns // 2:
            self._stalls.note(Cause(COLLECTOR, stalled_ns, looks[-1].stack))
            return
        for cause in causes_of(looks, stall.began_ns, ended_ns, self._directory, least_ns):
            self._stalls.note(cause)

    def take(self) -> list[Blocked]:
        """Return what has blocked the loop since the last call."""
        return self._stalls.take()

    def _watch(self, ready: Callable[[], None]) -> None:
        """Read the stack whenever the alarm rings; the body of the thread."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
        with contextlib.suppress(OSError):
            os.write(self._file, self._header)  # from now on the node may send the signal
        ready()
        while True:
            self._timer.wait()
            self._look(self._stall)

    def _look(self, stall: _Stall) -> None:
        now = now_ns()
        late_ns = now - stall.due_ns
        if late_ns < LOOK_NS:  # the beat has come after all
            if stall.due_ns < NEVER_NS:
                self._timer.set(stall.next_ns)
            return
        frame = sys._current_frames().get(self._watched)
        if frame is not None:
            stack, outermost = _stack_of(frame)
            if not stall.looks:
                # The time that the loop has cached is when its turn started.
                age_ns = int((time.time() - self._loop.now()) * S_NS)
                stall.began_ns = max(now - age_ns, stall.set_ns)
            if len(stall.looks) < MAX_LOOKS:
                stall.looks.append(Look(now, stall.next_ns, outermost, stack))
            if late_ns >= LONG_NS:
                self._leave(stall, stack)
        stall.next_ns = now + (LOOK_NS if late_ns < LONG_NS else late_ns // 2)
        if stall is self._stall:
            self._timer.set(stall.next_ns)

    def _leave(self, stall: _Stall, stack: Stack) -> None:
        """Leave the stack where the node can read it."""
        stall.left = True
        self._clean()
        with contextlib.suppress(OSError):  # the disk may be full
            text = to_text(stack, self._watched)
            os.write(self._file, text.encode(errors="backslashreplace"))
        if stall is not self._stall:
            self._clean()  # the stall is over

    def _clean(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, len(self._header))


class _Timer:
    """A timerfd that a thread waits for; setting it replaces the previous time."""

    def __init__(self) -> None:
        self._fd, self._settime = new_timer()

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` on the monotonic clock; 0 means never."""
        spec = _TIMER_SPEC(0, 0, *divmod(to_host_ns(at_ns) if at_ns else 0, S_NS))
        self._settime(self._fd, ABSTIME, spec, None)

    def wait(self) -> None:
        """Wait until it rings."""
        os.read(self._fd, 8)


def _stack_of(frame: FrameType) -> tuple[Stack, FrameType]:
    """Return the calls from `frame` outwards, and the outermost, which is unique to a greenlet."""
    stack: list[Frame] = []
    while True:
        if len(stack) < MAX_FRAMES:
            code = frame.f_code
            stack.append(Frame(code.co_filename, frame.f_lineno or 0, code.co_name))
        if frame.f_back is None:
            return stack, frame
        frame = frame.f_back


def _make(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(file, flags, 0o600)
    except OSError:
        return -1
