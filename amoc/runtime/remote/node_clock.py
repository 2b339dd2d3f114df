"""The clock of a keeper's node: the controller's, as well as it is known here.

If the controller is on another host, the node is started with an offset in a file in its directory
(`amoc.base.run_clock`), which the keeper updates: in steps of `STEP_NS`, so that the node never
sees its clock jump.
"""

from __future__ import annotations

from pathlib import Path

import gevent

from amoc.base.clock import S_NS, US_NS, now_ns
from amoc.base.run_clock import host_clock, shared
from amoc.ipc.clock_offset import MAX_DRIFT_PPM, ClockOffset
from amoc.runtime import host
from amoc.runtime.child import Started, start_module
from amoc.runtime.remote import node_main

STEP_S = 0.01
STEP_NS = int(STEP_S * S_NS) * MAX_DRIFT_PPM // 1_000_000
"""The most that two clocks can drift apart in `STEP_S`."""
TOLERATED_NS = 20 * US_NS
"""A smaller difference is not corrected."""
LOOK_S = 0.25
FIRST_ANSWERS = 8
"""Number of answers required before a node starts."""


def step(have_ns: int, want_ns: int) -> int:
    """Return the next offset on the way from `have_ns` to `want_ns`."""
    return have_ns + max(-STEP_NS, min(STEP_NS, want_ns - have_ns))


class NodeClock:
    """Maintains a node's clock."""

    def __init__(self, controllers: str) -> None:
        """Create it, given the identity of the controller's clock, see `run_clock.host_clock`."""
        same = controllers and controllers == host_clock()
        self._offset = None if same else ClockOffset()
        self._controllers = controllers
        self._cells: memoryview | None = None

    @property
    def is_known(self) -> bool:
        """Whether a node can start."""
        return self._offset is None or self._offset.answers >= FIRST_ANSWERS

    @property
    def bound_ns(self) -> int:
        """Bound of the difference between the node's clock and the controller's; 0 if unknown."""
        known = self._offset.at(now_ns()) if self._offset is not None else None
        if known is None or not self.is_known:
            return 0
        have = self._cells[0] if self._cells is not None else known.middle_ns
        return max(abs(known.high_ns - have), abs(known.low_ns - have))

    def note(self, asked_ns: int, received_ns: int, answered_ns: int, heard_ns: int) -> None:
        """Record an answer with these times; see `ClockOffset.note`."""
        if self._offset is not None:
            self._offset.note(asked_ns, received_ns, answered_ns, heard_ns)

    def start_node(self, directory: Path) -> Started:
        """Start the node's process with the controller's clock."""
        known = self._offset.at(now_ns()) if self._offset is not None else None
        if known is None:
            return start_module(host.__name__, [str(directory)])
        file = directory / "clock"
        self._cells = shared(file)
        self._cells[0], self._cells[1] = known.middle_ns, 2 * known.bound_ns
        return start_module(node_main.__name__, [str(directory), str(file), self._controllers])

    def follow(self) -> None:
        """Update the offset and the controller's distance, forever."""
        while True:
            gevent.sleep(LOOK_S)
            known = self._offset.at(now_ns()) if self._offset is not None else None
            if known is None or self._cells is None:
                continue
            self._cells[1] = 2 * known.bound_ns
            if abs(known.middle_ns - self._cells[0]) > TOLERATED_NS:
                while self._cells[0] != known.middle_ns:
                    self._cells[0] = step(self._cells[0], known.middle_ns)
                    gevent.sleep(STEP_S)
