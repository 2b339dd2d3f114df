"""A timer for the event loop with a precision of tens of microseconds.

Timers of libev, and so of gevent, have a resolution of a millisecond. A timerfd is a descriptor
that the kernel makes readable at a time given in nanoseconds; the loop watches it like a socket.
Setting it again resets its readiness, so it need never be read.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

from gevent import get_hub

from amoc.base.clock import S_NS
from amoc.base.errors import ResourceError
from amoc.base.run_clock import to_host_ns

_READ = 1
_NONBLOCK, _CLOEXEC = 0o4000, 0o2000000
ABSTIME = 1
"""The flag of the system call that sets a timer: the time is not a delay."""


def new_timer(flags: int = 0) -> tuple[int, Callable[..., object]]:
    """Return the descriptor of a new timer, and the system call that sets one.

    Raises:
        ResourceError: The system has no descriptor left.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Python's os module has timerfd only from 3.13 on.
    fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, flags | _CLOEXEC)
    if fd < 0:
        raise ResourceError(f"cannot create a timer (timerfd): {os.strerror(ctypes.get_errno())}")
    return fd, libc.timerfd_settime


class _Spec(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")
    ]


class PreciseTimer:
    """A one-shot timer for a time on the monotonic clock.

    The callback runs in the hub. It must set the timer again before it returns, if only to a time
    years away.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        """Create a timer that calls `callback` when it fires.

        Raises:
            ResourceError: The system has no descriptor left.
        """
        self._fd, self._settime = new_timer(_NONBLOCK)
        self._spec = _Spec()
        self._pointer = ctypes.byref(self._spec)
        self._watcher = get_hub().loop.io(self._fd, _READ)
        self._watcher.start(callback)

    def set(self, at_ns: int) -> None:
        """Fire at `at_ns`, instead of any earlier setting; at once if that has passed."""
        host_ns, spec = to_host_ns(at_ns), self._spec
        spec.value_s, spec.value_ns = divmod(host_ns if host_ns > 0 else 1, S_NS)
        self._settime(self._fd, ABSTIME, self._pointer, None)

    def close(self) -> None:
        """Close the descriptor."""
        self._watcher.close()
        os.close(self._fd)
