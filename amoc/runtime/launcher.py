"""What starts the nodes of a run and knows what becomes of their processes: the interface.

A launcher finds the hosts and starts one node on each; what a node is told and reports goes over
the bus and is no business of the launcher. A run uses it in this order::

    nodes = launcher.start(directory)      before there is an event loop, or a ZeroMQ context
    launcher.listen(directory)             where the run's sockets are to be
    launcher.took(endpoints)               they are there
    node.begin(bootstrap)                  for each, once the sockets of the run are there
    node.watch(on_line)                    for each, in the event loop
    launcher.newcomers()                   nodes that come later; the same is done with each
    node.ended(), node.kill()              at any time from then on
    node.end(deadline_s)                   for each, once
    launcher.close()                       when all was said

Names of nodes are not used twice in a run: what comes late from a node that was given up can be
told by its name.
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
        """The host that it is on, as the launcher calls it."""

    @property
    def engine_id(self) -> str:
        """What the launcher's engine calls it, for people: ``pid 4711``."""

    @property
    def hello_s(self) -> float:
        """How long it may take until it joins the run, once it was told to begin."""

    @property
    def public_key(self) -> bytes:
        """What it proves itself with, on another host; empty on this one."""

    @property
    def clock_bounds_ns(self) -> tuple[int, int]:
        """How far its clock can be from ours, now and at the worst so far; 0 if it is ours."""

    def begin(self, bootstrap: Bootstrap, /) -> None:
        """Give it what it needs to begin; does nothing when it has ended already."""

    def watch(self, on_line: Callable[[str], None], /) -> None:
        """Pass on each line that its process prints from now on, and note how that ends."""

    def keep_logs(self, directory: str, /) -> None:
        """Have the logs of its processes come to a directory of this host."""

    def ended(self) -> str | None:
        """How its process has ended, as ``exited with 3``; None as long as it is known to run."""

    @property
    def is_clean(self) -> bool:
        """Whether it has ended with exit status 0, so has said its last words."""

    def kill(self) -> None:
        """End its process and all below it at once; does not wait for that."""

    def end(self, deadline_s: float, why: str = "", /) -> None:
        """Wait for the end of its process, and kill it if it has not left by then.

        Where the run goes on without it, its host is told `why`.

        Once this returns nothing of it runs, and all its lines were passed on.
        """


class Launcher(Protocol):
    """Starts the nodes of a run."""

    @property
    def seats(self) -> int:
        """How many nodes the run can have, with those that come later and those that are lost."""

    def start(self, directory: str, /) -> Sequence[LaunchedNode]:
        """Start all nodes.

        Args:
            directory: That of the run's sockets on this host, which is not there yet. A node on
                this host removes it when the run dies before it has told the node anything.

        Raises:
            ResourceError: Not all of them can be started; none is left.
        """

    def listen(self, directory: str, /) -> tuple[zmq.Context[zmq.Socket[bytes]], str | Listen]:
        """The context in which the run's sockets are made, and where its nodes come to."""

    def took(self, endpoints: tuple[str, str], /) -> None:
        """The run's sockets are bound there."""

    def newcomers(self) -> Iterator[LaunchedNode]:
        """Nodes that come during the run, as they come; waits for them, for ever.

        Ends at once where none can come.
        """

    def close(self) -> None:
        """End what is left of it."""


def node_name(number: int) -> str:
    """What the bus, views and figures call a node."""
    return f"node{number}"
