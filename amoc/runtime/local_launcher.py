"""Starts nodes on this host: each is a child of this process, with all its processes below it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import zmq

from amoc.base import process
from amoc.base.errors import ResourceError
from amoc.ipc import pipe
from amoc.ipc.messages.lifecycle import Bootstrap
from amoc.ipc.messages.links import BOOTSTRAP
from amoc.runtime.child import ChildProcess, Started

HELLO_S = 60.0
"""A busy host may take long to start a few processes; a death is noticed at once."""


class LocalNode:
    """A node on this host; see `amoc.runtime.launcher.LaunchedNode`."""

    def __init__(self, number: int, started: Started) -> None:
        self.number = number
        self.host = socket.gethostname()
        self.engine_id = f"pid {started.pid}"
        self.public_key = b""
        self.hello_s = HELLO_S
        self.clock_bounds_ns = 0, 0
        self._started = started
        self._child: ChildProcess | None = None

    def forget(self) -> None:
        """Close its pipes: it exits, as it was sent nothing."""
        os.close(self._started.input)
        os.close(self._started.output)

    def begin(self, bootstrap: Bootstrap) -> None:
        """Write its bootstrap to its standard input, which then stays open as its lifeline."""
        with suppress(BrokenPipeError):  # it has ended already, which its waiter will notice
            pipe.write(self._started.input, BOOTSTRAP, bootstrap)

    def watch(self, on_line: Callable[[str], None]) -> None:
        """Pass on what it prints, and record how it ends."""
        self._child = ChildProcess(self._started, on_line)

    @property
    def _watched(self) -> ChildProcess:
        assert self._child is not None, "watch() comes first"
        return self._child

    def keep_logs(self, directory: str) -> None:
        """Do nothing: its processes write there themselves."""

    def ended(self) -> str | None:
        """Return how it has ended; None while it runs."""
        status = self._watched.exit_status()
        return None if status is None else process.describe_exit(status)

    @property
    def is_clean(self) -> bool:
        """Whether it has ended with exit status 0."""
        return self._watched.exit_status() == 0

    def kill(self) -> None:
        """Kill it; the kernel kills its children."""
        self._watched.kill()

    def end(self, deadline_s: float, _why: str = "") -> None:
        """Wait for its end, and kill it after the deadline."""
        self._watched.end(deadline_s)


class LocalLauncher:
    """Starts nodes on this host."""

    def __init__(self, start: Callable[[str], Started], count: int = 1) -> None:
        """Start `count` nodes; `start` starts one, for the directory of the run's sockets."""
        self._start = start
        self.seats = count

    def start(self, directory: str) -> Sequence[LocalNode]:
        """Start them; see `amoc.runtime.launcher.Launcher`.

        Raises:
            ResourceError: The system does not allow it.
        """
        nodes: list[LocalNode] = []
        try:
            nodes.extend(LocalNode(number, self._start(directory)) for number in range(self.seats))
        except OSError as error:
            for one in nodes:
                one.forget()
            raise ResourceError(f"node {len(nodes)} cannot be started: {error}") from None
        return nodes

    def listen(self, directory: str) -> tuple[zmq.Context[zmq.Socket[bytes]], str]:
        """Return a context, and the directory itself."""
        return zmq.Context(), directory

    def bound_at(self, endpoints: tuple[str, str]) -> None:
        """Do nothing: its nodes know the directory."""

    def newcomers(self) -> Iterator[LocalNode]:
        """Return nothing: no node can join."""
        return iter(())

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
