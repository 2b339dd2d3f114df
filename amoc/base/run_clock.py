"""The run's clock on hosts other than the controller's.

All times of a run, such as those of slots, are on the controller's monotonic clock. A node on
another host uses it too: before amoc reads any time, the standard library's ``monotonic_ns`` and
``perf_counter_ns`` are replaced by the host's clock plus an offset. All processes of the node share
the offset in memory. Only the host's keeper writes it, in steps too small to distort durations.
Next to it is the round-trip time to the controller.

On the controller's host nothing is replaced.
"""

from __future__ import annotations

import mmap
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

host_ns = time.monotonic_ns
"""The host's own clock, which the kernel's timers use."""
_SIZE = 16
# The controller's time minus the host's, and the round-trip time to the controller.
_cells = memoryview(bytearray(_SIZE)).cast("q")
_followed = ""


def host_clock() -> str:
    """Return an id of this host's clock since its last boot, equal wherever the clock is shared.

    Empty if it cannot be determined.
    """
    found = b""
    # Each boot of a kernel has a clock, and so does each of its time namespaces.
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/timens_offsets"):
        with suppress(OSError):
            found += Path(source).read_bytes()
    return f"{zlib.crc32(found):08x}" if found else ""


def clock() -> str:
    """Return the id of this process's clock: the host's, or the one it follows."""
    return _followed or host_clock()


def shared(path: Path) -> memoryview:
    """Map the file with offset and round trip, in nanoseconds, for writing."""
    path.touch(0o600)
    with path.open("r+b") as file:
        file.truncate(_SIZE)
        return memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")


def follow(path: Path, name: str) -> None:
    """Switch to the controller's clock, in this process and all that it forks.

    Call it before any module of amoc imports the clock from the standard library.

    Args:
        path: The file with offset and round trip.
        name: The controller's `clock`.

    Raises:
        OSError: There is no such file.
        RuntimeError: A module of amoc has already imported the host's clock.
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
    """Convert a time of the run to the host's clock, for the kernel."""
    return run_ns - _cells[0]


def round_trip_ns() -> int:
    """Return the round-trip time to the controller; 0 on the controller's host."""
    return _cells[1]
