"""The clock of a run, on a host whose own is another one.

All times of a run, those of slots above all, are on the controller's monotonic clock. A node on
another host has it too: before anything of amoc asks for the time, what the standard library gives
as ``monotonic_ns`` and ``perf_counter_ns`` is replaced by the host's clock and an offset. That is
in memory which all processes of the node share, and the host's keeper alone writes it, in steps so
small that no duration suffers. Beside it is how far away the controller is.

On the controller's host nothing of this is done.
"""

from __future__ import annotations

import mmap
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

host_ns = time.monotonic_ns
"""The host's own clock, of which the kernel's timers know."""
_SIZE = 16
# The controller's time less the host's, and how long a message there and its answer take.
_cells = memoryview(bytearray(_SIZE)).cast("q")
_followed = ""


def host_clock() -> str:
    """What stands for this host's clock since its last boot: the same where there is one clock.

    Empty where it cannot be told.
    """
    found = b""
    # A boot of a kernel has one clock, and each of its namespaces of time.
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/timens_offsets"):
        with suppress(OSError):
            found += Path(source).read_bytes()
    return f"{zlib.crc32(found):08x}" if found else ""


def clock() -> str:
    """What stands for the clock that this process has: the host's, or the one that it follows."""
    return _followed or host_clock()


def shared(path: Path) -> memoryview:
    """Offset and round trip in a file, in nanoseconds, for the one who writes them."""
    path.touch(0o600)
    with path.open("r+b") as file:
        file.truncate(_SIZE)
        return memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")


def follow(path: Path, name: str) -> None:
    """Have the controller's clock from now on, here and in all processes that are forked.

    To be called before any module of amoc has taken the clock from the standard library.

    Args:
        path: The file with offset and round trip.
        name: The controller's `clock`.

    Raises:
        OSError: There is no such file.
        RuntimeError: A module of amoc has the host's clock already.
    """
    global _followed, _cells
    if "amoc.base.clock" in sys.modules:
        raise RuntimeError("the clock must be set before it is read")
    cells = _cells = shared(path)
    _followed = name
    own = host_ns

    def monotonic_ns() -> int:
        return own() + cells[0]

    time.monotonic_ns = time.perf_counter_ns = monotonic_ns


def to_host_ns(run_ns: int) -> int:
    """A time of the run on the host's own clock, for the kernel."""
    return run_ns - _cells[0]


def round_trip_ns() -> int:
    """How long a message to the controller and its answer take; 0 on its own host."""
    return _cells[1]
