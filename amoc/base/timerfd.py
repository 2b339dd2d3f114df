"""An alarm of the event loop that is exact to some ten microseconds.

libev keeps its timers in whole milliseconds, and so do gevent's. A timerfd is a descriptor that the
kernel makes readable at a time in nanoseconds; the loop watches it like a socket. Setting it again
takes back what it had rung for, so it never has to be read.
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
_ABSTIME = 1


class _Spec(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")
    ]


class PreciseTimer:
    """Rings once, at a time on the monotonic clock.

    The callback runs in the hub. It sets the alarm again before it returns, to never perhaps: a
    time that is years off.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        """Let `callback` be called when it rings.

        Raises:
            ResourceError: The system gives no descriptor.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._spec = _Spec()
        self._pointer = ctypes.byref(self._spec)
        # Python itself has timerfd from 3.13 on only.
        self._fd = libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self._fd < 0:
            raise ResourceError(
                f"cannot create a timer (timerfd): {os.strerror(ctypes.get_errno())}"
            )
        self._watcher = get_hub().loop.io(self._fd, _READ)
        self._watcher.start(callback)

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` and at no other time; at once if that has passed."""
        spec = self._spec
        spec.value_s, spec.value_ns = divmod(max(to_host_ns(at_ns), 1), S_NS)
        self._settime(self._fd, _ABSTIME, self._pointer, None)

    def close(self) -> None:
        """Give the descriptor back."""
        self._watcher.stop()
        self._watcher.close()
        os.close(self._fd)
