"""A node on another host, as seen by the run; its state is reported by its keeper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from amoc.base.clock import MS_NS, S_NS, format_duration, now_ns
from amoc.base.polling import poll
from amoc.ipc.messages.keeper import Join, Kill, Leave, Logged
from amoc.ipc.messages.lifecycle import Bootstrap
from amoc.runtime.remote import fencing
from amoc.runtime.remote.log_shipping import LogWriter

if TYPE_CHECKING:
    from amoc.runtime.remote.launcher import RemoteLauncher

LOOK_S = 0.05
MAX_EARLY_LINES = 1_000
HELLO_S = 600.0
"""Its keeper first fetches the scenario and installs its dependencies; the loss of a keeper is
noticed long before."""
MAX_CLOCK_BOUND_NS = 5 * MS_NS
"""Larger clock uncertainties are reported to the operator."""


class RemoteNode:
    """A node on another host; see `amoc.runtime.launcher.LaunchedNode`."""

    def __init__(self, number: int, keeper: int, join: Join, keepers: RemoteLauncher) -> None:
        """Create it for a host that has joined.

        Args:
            number: The node's number.
            keeper: Its keeper's number, never used before.
            join: The host's request.
            keepers: The connections to keepers.
        """
        self.number = number
        self.keeper_number = keeper
        self.host = join.host
        self.join = join
        self.heard_ns = now_ns()
        self.clock_bounds_ns = 0, 0
        self._clock_reported_ns = 0
        self.is_there = self.is_clean = False
        self.hello_s = HELLO_S
        self.how: str | None = None
        self.invalid = ""
        self.early: list[str] = []
        self._keepers = keepers
        self._logs: LogWriter | None = None
        self._on_line: Callable[[str], None] = self._keep_line

    @property
    def engine_id(self) -> str:
        """The keeper's process, and its host's name at whatever has started it, if different."""
        called = self._keepers.engine_id(self.host)
        return f"{'' if called == self.host else called} pid {self.join.pid}".lstrip()

    @property
    def public_key(self) -> bytes:
        """The key by which the run's bus knows it."""
        return self.join.node_key

    @property
    def keeper(self) -> str:
        """Its keeper's name."""
        return f"keeper{self.keeper_number}"

    def _keep_line(self, line: str) -> None:
        if len(self.early) < MAX_EARLY_LINES:
            self.early.append(line)

    def begin(self, bootstrap: Bootstrap) -> None:
        """Have its keeper start it."""
        self._keepers.begin(self, bootstrap)

    def watch(self, on_line: Callable[[str], None]) -> None:
        """Pass on what it prints."""
        self._on_line = on_line
        for line in self.early:
            on_line(line)
        self.early.clear()

    def print(self, lines: Sequence[str]) -> None:
        """Pass on lines that it has printed."""
        for line in lines:
            self._on_line(line)

    def note_clock(self, bound_ns: int) -> None:
        """Record its clock's uncertainty; report it when first known, and when too large."""
        if bound_ns:
            self.clock_bounds_ns = bound_ns, max(bound_ns, self.clock_bounds_ns[1])
        if bound_ns > max(self._clock_reported_ns, MAX_CLOCK_BOUND_NS):
            self._clock_reported_ns = 10 * bound_ns
            shown = format_duration(bound_ns / S_NS)
            why = "throttle slots there may be that early or late"
            self.print([f"amoc: the clock of {self.host} is known only to within {shown}: {why}"])
        elif bound_ns and not self._clock_reported_ns:
            self._clock_reported_ns = bound_ns
            shown = format_duration(bound_ns / S_NS)
            self.print([f"amoc: the clock of {self.host} is tracked to within {shown}"])

    def keep_logs(self, directory: str) -> None:
        """Write the logs of its processes to files in a directory."""
        self._logs = LogWriter(Path(directory), lambda text: self.print([f"amoc: {text}"]))

    def log(self, part: Logged) -> None:
        """Write a part of a log of one of its processes."""
        if self._logs is not None:
            self._logs.write(part)

    def ended(self) -> str | None:
        """Return how it has ended; None while it may be running."""
        patience_ns = 0 if self.is_there else fencing.PATIENCE_NS
        if self.how is None and fencing.is_given_up(self.heard_ns, now_ns(), patience_ns):
            most_ns = patience_ns + fencing.GIVEN_UP_NS
            is_long = self.invalid or fencing.is_given_up(self.heard_ns, now_ns(), most_ns)
            if not is_long and self._keepers.has_unread_messages():
                return None  # its beats may be among the unread messages: this process is late
            silent = format_duration((fencing.GIVEN_UP_NS + patience_ns) / S_NS)
            self.how = self.invalid or f"on {self.host} has not been heard from for {silent}"
            self._keepers.forget(self)
        return self.how

    def kill(self) -> None:
        """Have its keeper kill it."""
        if self.how is None:
            self._keepers.tell(self, Kill())

    def end(self, deadline_s: float, why: str = "") -> None:
        """Wait for its end, and kill it after the deadline; tell its keeper why."""

        def has_ended() -> bool:
            return self.ended() is not None

        given_up_s = fencing.GIVEN_UP_NS / S_NS
        poll(has_ended, deadline_s, LOOK_S, gevent.sleep)
        self.kill()
        if not poll(has_ended, given_up_s, LOOK_S, gevent.sleep):
            self._keepers.forget(self)  # its keeper cannot end it, but must once it is cut off
            poll(has_ended, 2 * given_up_s, LOOK_S, gevent.sleep)
        self._keepers.tell(self, Leave(why))
        if self._logs is not None:
            self._logs.close()
            self._logs = None
