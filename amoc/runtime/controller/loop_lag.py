"""The worst lateness of the controller's event loop.

A busy loop is probed ten times a second. For an idle one the wake-ups would be most of its work: it
is probed once a second, and each of its turns is timed, because a long turn delays whatever becomes
due during it.
"""

from __future__ import annotations

import time

import gevent

from amoc.base.clock import S_NS, now_ns
from amoc.base.loop_turns import LoopTurns
from amoc.base.ticks import to_next_tick_s

BEAT_S = 0.1
REST_S = 1.0
RESTING_SHARE = 0.01
"""CPU time of the process, as a fraction of a core, below which it is idle."""


class LoopLag:
    """Waits from beat to beat, and records how late the event loop was.

    Attributes:
        resting: Whether the process was idle during the last wait.
    """

    def __init__(self) -> None:
        self._worst_ns = 0
        self._turn_ns = 0
        self.resting = False
        self._turns = LoopTurns(self._turn_begins, self._turn_ends)

    def take_s(self) -> float:
        """Return the worst lateness since the last call, in seconds."""
        worst_ns, self._worst_ns = self._worst_ns, 0
        return worst_ns / S_NS

    def wait(self) -> None:
        """Wait for the next beat."""
        begun_ns, cpu_ns = now_ns(), time.process_time_ns()
        wait_s = to_next_tick_s(REST_S) if self.resting else BEAT_S
        if self.resting:
            self._turn_ns = begun_ns
            self._turns.start()
        try:
            gevent.sleep(wait_s)
        finally:
            self._turns.stop()
        took_ns = max(now_ns() - begun_ns, 1)
        self._note(took_ns - int(wait_s * S_NS))
        self.resting = time.process_time_ns() - cpu_ns < RESTING_SHARE * took_ns

    def _turn_begins(self) -> None:
        self._turn_ns = now_ns()

    def _turn_ends(self) -> None:
        self._note(now_ns() - self._turn_ns)

    def _note(self, late_ns: int) -> None:
        self._worst_ns = max(self._worst_ns, late_ns)
