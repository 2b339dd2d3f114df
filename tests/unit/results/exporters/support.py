"""Badly behaved backends on loopback: absent, slow or invalid, run on the test's hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import gevent
import pytest
from gevent import socket

from amoc.results.exporters import Exporter
from amoc.results.series import Point, Tally

DEADLINE_S = 60.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` returns a true value, and return it; the event loop keeps running."""
    with gevent.Timeout(DEADLINE_S, False):
        while not (found := condition()):
            gevent.sleep(0.002)
        return found
    pytest.fail(f"not within {DEADLINE_S:g} s: {what}")


def feed(exporter: Exporter, points: list[Point], tally: Tally | None = None) -> Tally:
    """Pass points to an exporter as the controller does; return their sum so far."""
    tally = Tally() if tally is None else tally
    for point in points:
        tally.add(point)
        exporter.take(point, tally)
    return tally


class Carbon:
    """Receives lines on a port that stays reserved even while nothing listens on it.

    Attributes:
        lines: What was read.
        connections: How many were accepted.
        reads: Whether it reads what it accepts.
    """

    def __init__(self, listening: bool = True, reads: bool = True) -> None:
        self.lines: list[str] = []
        self.connections = 0
        self.reads = reads
        self._open: list[Any] = []
        self._greenlets: list[gevent.Greenlet[..., Any]] = []
        self._listener = self._bound(0)
        self.port = self._listener.getsockname()[1]
        if listening:
            self.listen()

    @staticmethod
    def _bound(port: int) -> Any:
        # A port that is bound but not listening refuses connections.
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def listen(self) -> None:
        self._listener.listen()
        self._greenlets.append(gevent.spawn(self._accept, self._listener))

    def die(self) -> None:
        """Reset all connections as a killed process would, and refuse new ones."""
        gevent.killall(self._greenlets)
        self._greenlets.clear()
        self._listener.close()
        for one in self._open:
            # Closing with unread data, or without lingering, sends a reset.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        self._open.clear()
        self._listener = self._bound(self.port)

    def _accept(self, listener: Any) -> None:
        while True:
            one, _ = listener.accept()
            self.connections += 1
            self._open.append(one)
            if self.reads:
                self._greenlets.append(gevent.spawn(self._read, one))

    def _read(self, one: Any) -> None:
        rest = b""
        while data := one.recv(65536):
            *lines, rest = (rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]
        self._open.remove(one)
        one.close()

    def seconds(self) -> list[int]:
        """The distinct times of received lines, in order of arrival."""
        return list(dict.fromkeys(int(line.rsplit(" ", 1)[1]) for line in self.lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._listener.close()
