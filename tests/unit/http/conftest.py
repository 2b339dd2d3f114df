"""A scripted server on loopback, byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from amoc.metrics import registry

Behaviour = Callable[["socket.socket", bytes], object]
"""Called for each request with its connection and its head; the result, if bytes, is sent. An
exception ends the connection."""


class Server:
    """Answers each request with the result of `behave` until the connection ends.

    Attributes:
        connections: Number of accepted connections.
        heads: Heads of the requests, without bodies.
        bodies: Bodies of the requests with Content-Length.
    """

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self, sock: socket.socket, _: object) -> None:
        self.connections += 1
        rest = b""
        try:
            while True:
                while b"\r\n\r\n" not in rest:
                    data = sock.recv(65536)
                    if not data:
                        return
                    rest += data
                head, _, rest = rest.partition(b"\r\n\r\n")
                self.heads.append(head + b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if b"expect: 100-continue" not in head.lower():
                    while len(rest) < length:
                        rest += sock.recv(65536)
                    self.bodies.append(rest[:length])
                    rest = rest[length:]
                said = self.behave(sock, head)
                if isinstance(said, bytes):
                    sock.sendall(said)
        except (OSError, StopIteration):
            pass
        finally:
            sock.close()

    def close(self) -> None:
        self._server.stop(timeout=1)


@pytest.fixture(autouse=True)
def own_metrics() -> Iterator[None]:
    with registry.Registry().activated():
        yield


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Server]]:
    """Start servers that stop at the end of the test."""
    servers: list[Server] = []

    def start(behave: Behaviour) -> Server:
        servers.append(Server(behave))
        return servers[-1]

    with gevent.Timeout(60):
        yield start
    for one in servers:
        one.close()
