"""Ends programs that users have detached, with the run.

A program started in its own session, such as a browser driver, leaves the node's process group and
outlives the worker that started it. So the node is a subreaper (prctl(2)): the kernel makes it the
parent of any process orphaned below it. It reaps those that end, and kills the rest when its
workers have exited. The controller does the same for the orphans of a killed node.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

import gevent

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.proc_files import ProcFile
from amoc.runtime import child

REAP_S = 1.0
END_S = 2.0
"""How long killed processes may take to disappear."""


class Orphans:
    """The orphans that this process adopts.

    Its children at creation time are its own, and left alone. So are children that it gets while
    another subreaper, the node, would adopt all orphans.
    """

    def __init__(self) -> None:
        process.adopt_orphans()
        self._own = frozenset(children(os.getpid()))

    def note_own(self, is_shielded: Callable[[], bool]) -> None:
        """Register the present children as this process's own, if none can be an orphan."""
        found = children(os.getpid())
        if is_shielded():  # checked afterwards, so it was true when they were listed
            self._own |= frozenset(found)

    def reap(self) -> None:
        """Reap orphans that have ended; call it each `REAP_S`."""
        if _any_ended():
            self._reap()

    def end(self) -> list[str]:
        """Kill all orphans and their children.

        Returns:
            Those that still exist after `END_S`, as ``sleep (pid 1234)``.
        """
        give_up = now_ns() + int(END_S * S_NS)
        while (left := self._all()) and now_ns() < give_up:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            gevent.sleep(0.005)
        return [f"{process.name_of(pid)} (pid {pid})" for pid in left]

    def _adopted(self) -> list[int]:
        known = self._own | child.started
        return [pid for pid in children(os.getpid()) if pid not in known]

    def _all(self) -> list[int]:
        found = self._adopted()
        for one in found:  # the list grows meanwhile
            found += children(one)
        return found

    def _reap(self) -> None:
        for pid in self._adopted():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _any_ended() -> bool:
    """Return whether a child has ended and was not reaped: one call, while a listing takes 20."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are no children
        return False
    return ended is not None


def children(pid: int) -> list[int]:
    """Return the children of all threads of process `pid`; none if it has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - each second: Path is slower
            found += map(int, ProcFile(f"/proc/{pid}/task/{thread}/children").read().split())
    return found
