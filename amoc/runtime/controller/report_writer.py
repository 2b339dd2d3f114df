"""Writes the report of a run that has just ended, without delaying whatever waits for that end.

The report of a short run is quick to make, so it is made here. A long run's takes time in
proportion to its series, and would block the controller's event loop; it is made in a child
process, which the kernel kills with this one. If it takes long the operator is notified, and an
interrupt then skips it: the summary exists already, and ``amoc report`` makes the report at any
time.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event

from amoc.base import process
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import ResourceError
from amoc.results import saved_run
from amoc.results.run_directory import RunDirectory
from amoc.runtime.child import ChildProcess, start_module

SMALL_BYTES = 1_000_000
"""A series of this size takes about a second to read."""
NOTIFY_AFTER_S = 1.5
MAX_S = 600.0
_LOOK_S = 0.05


def write(directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write the report of the run in `directory`; its summary must exist.

    Args:
        directory: The run directory.
        say: Called with lines for the operator.

    Raises:
        ResourceError: It cannot be written.
    """
    series = directory.series
    if series.exists() and series.stat().st_size > SMALL_BYTES:
        _write_elsewhere(directory, say)
        return
    from amoc.results.report import page  # its template engine is not needed while users run

    page.write(saved_run.load(directory), directory.report)


def _write_elsewhere(directory: RunDirectory, say: Callable[[str], None]) -> None:
    lines: list[str] = []
    skipped = Event()
    begun_ns, notified = now_ns(), False
    again = shlex.join(["amoc", "report", str(directory.path)])
    child = ChildProcess(start_module("amoc.results.report", [str(directory.path)]), lines.append)
    try:
        with _interrupts(skipped.set):
            while child.exit_status() is None and not skipped.wait(_LOOK_S):
                passed_s = (now_ns() - begun_ns) / S_NS
                if passed_s > MAX_S:
                    took = format_duration(MAX_S)
                    say(f"the report took more than {took} and was skipped; to write it: {again}")
                    return
                if passed_s > NOTIFY_AFTER_S and not notified:
                    notified = True
                    say("writing the report takes a while; Ctrl-C skips it")
    finally:
        status = child.end(0.0)
    if skipped.is_set():
        say(f"the report was skipped; to write it: {again}")
    elif status:
        why = lines[-1] if lines else f"its process {process.describe_exit(status)}"
        raise ResourceError(f"{why}; to write it: {again}")


@contextmanager
def _interrupts(heard: Callable[[], None]) -> Iterator[None]:
    """Route interrupts (SIGINT, SIGTERM, SIGHUP) to `heard` alone while the context lasts."""
    loop = gevent.get_hub().loop
    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(signum)
        if handler not in (signal.SIG_IGN, None):  # an ignored signal stays ignored, as by nohup
            before[signum] = handler
            signal.signal(signum, lambda *_: loop.run_callback_threadsafe(heard))
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
