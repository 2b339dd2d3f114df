"""Catches what keeps a worker's loop from turning in the act.

A thread waits for an alarm that the worker's beat puts off each time it comes. So as long as the
loop turns, this costs one system call a beat, and the thread does not contend for the interpreter.
When the beat is late the thread wakes up and looks at the main thread's stack, again and again
until the beat has come:

- Python code is looked at while it runs, and so are calls into C that release the interpreter;
- a call into C that holds the interpreter is looked at the moment it returns, at its line still.

Nothing is done to the main thread: no signal interrupts what it waits for, and stacks are read by a
thread that holds the interpreter, so none changes meanwhile. (The watchdog of `faulthandler` does
not hold it; beside Python code that runs, it crashes the process.)

A loop that hangs for longer than `LONG_NS` leaves its stack in a file, too, for the node to read: a
worker that never comes back cannot report. If not even the thread gets the interpreter, the node
sends `SIGNAL`, which only the thread takes, and whose handler is that of `faulthandler`: it writes
all stacks without the interpreter. That is safe there, for the main thread does not leave its C.

The first line of the file says which thread is meant, and where the scenario is.
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
from amoc.base.errors import ResourceError
from amoc.base.run_clock import to_host_ns
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
"""A loop that has not turned for so long was blocked."""
LOOK_NS = 20 * MS_NS
"""How late a beat is when the stack is looked at first, and how soon it is again."""
LONG_NS = S_NS
"""What lasts so long is left for the node to read, and looked at ever less often."""
NEVER_NS = 1 << 62
MAX_LOOKS = 100
_CLOEXEC = 0o2000000
_ABSTIME = 1
_TIMER_SPEC = ctypes.c_long * 4
"""Interval and value, in s and ns."""


@dataclass
class _Stall:
    """What was seen between two beats, if the second of them is late.

    Attributes:
        set_ns: When the first was.
        due_ns: When the second is due.
        next_ns: When the stack is to be looked at next.
        began_ns: When the loop's turn began in which it is stuck.
        left: Whether a stack was left for the node.
    """

    set_ns: int
    due_ns: int
    next_ns: int
    began_ns: int = 0
    left: bool = False
    looks: list[Look] = field(default_factory=list)


class StallDetector:
    """Finds out why a loop does not turn."""

    def __init__(self, worker: int, directory: str, file: Path) -> None:
        """Watch over the calling thread, which is the one of the loop.

        Args:
            worker: The worker's index.
            directory: Where the scenario's files are.
            file: Where to leave the stack of what hangs; where it cannot be made, none is left.

        Raises:
            ResourceError: The system gives no descriptor.
        """
        self._directory = directory
        self._stalls = Stalls(worker)
        self._stall = _Stall(0, 0, 0)
        self._loop = get_hub().loop
        self._timer = _Timer()
        # The real ones, not the hub's: this is about threads.
        self._watched: int = monkey.get_original("_thread", "get_ident")()
        self._header = f"{self._watched:x} {directory}\n".encode(errors="backslashreplace")
        self._file = _make(file)
        # What the main thread waits for in C must not be interrupted.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        if self._file >= 0:
            faulthandler.register(SIGNAL, file=self._file, all_threads=True)
        ready = monkey.get_original("_thread", "allocate_lock")()
        ready.acquire()
        monkey.get_original("_thread", "start_new_thread")(self._watch, (ready.release,))
        ready.acquire()  # or a user might hang before it is watched

    def set(self, due_ns: int) -> None:
        """The loop turns, and is to turn again at `due_ns`."""
        # A new one each time: the thread may be about to note something of the one before.
        self._stall = _Stall(now_ns(), due_ns, due_ns + LOOK_NS)
        self._timer.set(due_ns + LOOK_NS)

    def rest(self) -> None:
        """The loop waits for something to do, for as long as that may take."""
        self._stall = _Stall(now_ns(), NEVER_NS, NEVER_NS)
        self._timer.set(0)  # it does not ring

    def turned(self, cpu_wait_ns: int, collected_ns: int) -> None:
        """The loop has turned; late, perhaps.

        Args:
            cpu_wait_ns: For how long the main thread has waited for a CPU since `set`.
            collected_ns: For how long the garbage collector held it up.
        """
        stall = self._stall
        if stall.left:
            self._clean()
        looks, ended_ns = list(stall.looks), now_ns()
        stalled_ns = ended_ns - stall.began_ns
        # It may all have been one user that waited for a CPU; so much is not held against it.
        least_ns = BLOCKED_NS + cpu_wait_ns
        if not looks or stalled_ns < least_ns:
            return
        if collected_ns > stalled_ns // 2:
            self._stalls.note(Cause(COLLECTOR, stalled_ns, looks[-1].stack))
            return
        for cause in causes_of(looks, stall.began_ns, ended_ns, self._directory, least_ns):
            self._stalls.note(cause)

    def tell(self) -> list[Blocked]:
        """What has blocked the loop since this was called before."""
        return self._stalls.tell()

    def _watch(self, ready: Callable[[], None]) -> None:
        """Look whenever the alarm rings; the thread's whole life."""
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
                # What the loop takes for now is when its turn began.
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
            self._clean()  # it is over

    def _clean(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, len(self._header))


class _Timer:
    """A timerfd that a thread waits for; setting it again takes back what it was set to."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd = libc.timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC)
        if self._fd < 0:
            raise ResourceError(
                f"cannot create a timer (timerfd): {os.strerror(ctypes.get_errno())}"
            )

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` on the monotonic clock; 0 is never."""
        spec = _TIMER_SPEC(0, 0, *divmod(to_host_ns(at_ns) if at_ns else 0, S_NS))
        self._settime(self._fd, _ABSTIME, spec, None)

    def wait(self) -> None:
        """Wait until it rings."""
        os.read(self._fd, 8)


def _stack_of(frame: FrameType) -> tuple[Stack, FrameType]:
    """The calls below `frame`, and the outermost of them, which is its greenlet's alone."""
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
