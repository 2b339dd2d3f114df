"""The interface of launchers, which start the nodes of a run and watch their processes.

A launcher finds the hosts and starts one node on each. Commands and reports of nodes go over the
bus, which the launcher has nothing to do with. A run uses it in this order::

    nodes = launcher.start(directory)      before there is an event loop, or a ZeroMQ context
    launcher.listen(directory)             get the place for the run's sockets
    launcher.bound_at(endpoints)           tell it that they are bound
    node.begin(bootstrap)                  for each, once the sockets of the run are bound
    node.watch(on_line)                    for each, in the event loop
    launcher.newcomers()                   nodes that come later; the same is done with each
    node.ended(), node.kill()              at any time from then on
    node.end(deadline_s)                   for each, once
    launcher.close()                       at the end

Names of nodes are not reused in a run: late messages from a node that was given up can be
recognised by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import zmq

from amoc.ipc.bus import Listen
from amoc.ipc.messages.lifecycle import Bootstrap


class LaunchedNode(Protocol):
    """A node that a launcher has started."""

    @property
    def number(self) -> int:
        """Its number in the run, from 0; its name on the bus follows from it, see `node_name`."""

    @property
    def host(self) -> str:
        """Its host, by the launcher's name for it."""

    @property
    def engine_id(self) -> str:
        """The launcher's own name for it, for people: ``pid 4711``."""

    @property
    def hello_s(self) -> float:
        """How long it may take to join the run, after `begin`."""

    @property
    def public_key(self) -> bytes:
        """Its public key on another host; empty on this host."""

    @property
    def clock_bounds_ns(self) -> tuple[int, int]:
        """Bound of its clock's difference from ours, now and at worst; 0 on the same clock."""

    def begin(self, bootstrap: Bootstrap, /) -> None:
        """Send it what it needs to start; does nothing if it has already ended."""

    def watch(self, on_line: Callable[[str], None], /) -> None:
        """Pass on each line that its process prints from now on, and record how it ends."""

    def keep_logs(self, directory: str, /) -> None:
        """Collect the logs of its processes in a directory of this host."""

    def ended(self) -> str | None:
        """Return how its process has ended, as ``exited with 3``; None while it may be running."""

    @property
    def is_clean(self) -> bool:
        """Whether it has ended with exit status 0, so has sent its last report."""

    def kill(self) -> None:
        """Kill its process and all its children at once; does not wait."""

    def end(self, deadline_s: float, why: str = "", /) -> None:
        """Wait for the end of its process, and kill it after the deadline.

        If the run goes on without it, its host is told `why`. After this nothing of it runs, and
        all its output has been passed on.
        """


class Launcher(Protocol):
    """Starts the nodes of a run."""

    @property
    def seats(self) -> int:
        """How many nodes the run can have, including those that join later and lost ones."""

    def start(self, directory: str, /) -> Sequence[LaunchedNode]:
        """Start all nodes.

        Args:
            directory: The directory for the run's sockets on this host, which does not exist yet. A
                node on this host removes it if the run dies before it has sent the node anything.

        Raises:
            ResourceError: Not all of them can be started; none is left running.
        """

    def listen(self, directory: str, /) -> tuple[zmq.Context[zmq.Socket[bytes]], str | Listen]:
        """Return the context for the run's sockets, and the address where nodes connect."""

    def bound_at(self, endpoints: tuple[str, str], /) -> None:
        """Tell the launcher where the run's sockets are bound."""

    def newcomers(self) -> Iterator[LaunchedNode]:
        """Yield nodes that join during the run; waits for them forever.

        Ends at once if none can join.
        """

    def close(self) -> None:
        """Release its resources."""


def node_name(number: int) -> str:
    """Return a node's name on the bus, in views and in metrics."""
    return f"node{number}"
