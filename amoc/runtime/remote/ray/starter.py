"""Keepers by Ray: a separate driver process has Ray start one on each of its hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec

import gevent

from amoc.base import process
from amoc.base.errors import ResourceError, UsageError
from amoc.base.text import numberless, printable
from amoc.runtime.child import ChildProcess, start_module
from amoc.runtime.remote.ray.driver import CLOSE_S, LOOK_S, MARK, NODE, SAY, STATE, Task

MODULE = "amoc.runtime.remote.ray.driver"
_OWN_LOG = re.compile(r"\[\d{4}-\d\d-\d\d [\d:,]+ [A-Z] ")
MAX_LINES = 1_000
"""Most lines of Ray's output that are shown."""


class RayStarter:
    """Has Ray start a keeper on each host; see `amoc.runtime.remote.launcher.Starter`."""

    def __init__(
        self, address: str, nodes: int, amoc: str, advertise: str, tell: Callable[[str], object]
    ) -> None:
        """Create it; nothing is started yet.

        Args:
            address: See `amoc.scenario.cluster.Cluster`.
            nodes: The number of hosts.
            amoc: The command that runs amoc there; empty for the Python that runs Ray there.
            advertise: The controller's host, as the others see it; empty if Ray determines it.
            tell: Shows lines to the operator.

        Raises:
            UsageError: Ray is not installed.
        """
        if find_spec("ray") is None:
            raise UsageError("--cluster ray: requires Ray, an extra: pip install 'amoc[ray]'")
        self._address = address
        self._nodes = nodes
        self._amoc = amoc
        self._advertise = advertise
        self._tell = tell
        self._driver: ChildProcess | None = None
        self._watching: gevent.Greenlet[..., None] | None = None
        self._trouble = ""
        self._state = ""
        self._nodes_of_ray: dict[str, str] = {}  # by the names that hosts join with
        self._have_come = self._is_over = False
        self._lines = 0
        self._own_log: frozenset[str] = frozenset()

    def start(self, port: int, secret: bytes) -> None:
        """Start the driver; hosts join at `port`.

        Raises:
            ResourceError: The system does not allow it.
        """
        task = Task(self._address, self._nodes, self._advertise, port, self._amoc, secret.decode())
        try:
            started = start_module(MODULE, [])
        except OSError as error:
            raise ResourceError(f"Ray's driver cannot be started: {error}") from None
        self._driver = ChildProcess(started, self._heard)
        self._watching = gevent.spawn(self._watch, self._driver)
        self._driver.write(json.dumps(task).encode() + b"\n")

    def _heard(self, line: str) -> None:
        """Process a line of the driver's output."""
        if line.startswith(MARK):
            kind, text = json.loads(line.removeprefix(MARK))
            if kind == STATE:
                self._state = text
            elif kind == NODE:
                host, _, node = text.partition(" ")
                self._nodes_of_ray[host] = node
            elif kind == SAY or self._have_come:
                self._say(text)
            else:
                self._trouble = self._trouble or text
        elif line.strip() and not self._is_repeated(line):
            self._lines += 1
            if self._lines <= MAX_LINES:
                self._say(line)
            elif self._lines == MAX_LINES + 1:
                self._say(f"further output of Ray is not shown (limit: {MAX_LINES:,} lines)")

    def _is_repeated(self, line: str) -> bool:
        """Return whether Ray itself has printed this before, apart from its numbers."""
        if not _OWN_LOG.match(line):
            return False
        known, self._own_log = self._own_log, self._own_log | {numberless(line)}
        return len(known) == len(self._own_log) or len(known) >= MAX_LINES

    def _say(self, text: str) -> None:
        if not self._is_over:
            self._tell(f"ray: {printable(text)}")

    def trouble(self) -> str:
        """Return why a host cannot join; empty if nothing is known to be wrong."""
        return self._trouble

    def found(self) -> str:
        """Return Ray's progress, for the message after a timeout."""
        return self._state

    def engine_id(self, host: str) -> str:
        """Return the first digits of Ray's own id of a host."""
        node = self._nodes_of_ray.get(host)
        return f"Ray node {node}" if node else ""

    def came(self) -> None:
        """Record that all hosts have joined; later problems are for the operator."""
        self._have_come = True

    def _watch(self, driver: ChildProcess) -> None:
        """Report that the driver has ended early."""
        while (status := driver.exit_status()) is None:
            gevent.sleep(LOOK_S)
        how = f"the Ray driver process {process.describe_exit(status)}"
        if self._have_come:
            self._say(f"{how}; Ray may end the nodes that it has started")
        else:
            self._trouble = self._trouble or how

    def close(self) -> None:
        """End what was started."""
        self._is_over = True
        if self._watching is not None:
            self._watching.kill()
        if self._driver is not None:
            self._driver.close_lifeline()
            self._driver.end(CLOSE_S + 1.0)
