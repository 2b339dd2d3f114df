"""Real connections: a raw client on a gevent socket, and the server as a separate process."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET

from gevent import socket

from tests.unit.xmppd.lab import HEADER, bind, in_stream, plain_auth

PROJECT = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0
"""How long a test waits for an expected event; long enough for a busy machine."""


class Peer:
    """A client of a server that listens on loopback."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.heard = b""
        self.said_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.sock.close()

    def say(self, data: bytes) -> None:
        self.said_bytes += len(data)
        self.sock.sendall(data)

    def until(self, text: bytes) -> bytes:
        """Return everything received up to and including `text`."""
        while text not in self.heard:
            chunk = self.sock.recv(65536)
            assert chunk, f"the server closed before {text!r}; it said {self.heard[-500:]!r}"
            self.heard += chunk
        end = self.heard.index(text) + len(text)
        found, self.heard = self.heard[:end], self.heard[end:]
        return found

    def until_closed(self) -> bytes:
        """Return everything received until the server closed the connection."""
        while chunk := self.sock.recv(65536):
            self.heard += chunk
        heard, self.heard = self.heard, b""
        return heard

    def log_in(self, number: int, resource: str = "r") -> None:
        """Log in and send presence."""
        self.say(HEADER)
        self.until(b"</stream:features>")
        self.say(plain_auth(f"user_{number}", f"password_{number}"))
        self.until(b"<success ")
        self.until(b">")
        self.say(HEADER)
        self.until(b"</stream:features>")
        self.say(bind(resource))
        self.until(b"</iq>")
        self.say(b"<presence/>")
        self.until(b"<presence ")
        self.until(b"/>")

    def message(self) -> ET.Element:
        """Return the next message."""
        return in_stream(self.until(b"</message>"))[-1]


class Daemon:
    """The server in a separate process.

    Args:
        arguments: Keyword arguments of `serve()`, as Python source.
        wrapper: A command that runs the server's command.
    """

    def __init__(self, arguments: str = "port=0", wrapper: tuple[str, ...] = ()) -> None:
        code = f"from amoc.xmppd import Limits, serve; serve({arguments})"
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-c", code],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.ready = read_line(self.process.stdout.fileno())
        found = re.fullmatch(
            r"xmppd listening on 127\.0\.0\.1:(\d+), domain localhost"
            r" \(for tests and benchmarks only\)\n",
            self.ready,
        )
        self.port = int(found[1]) if found else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def error_line(self) -> str:
        """Return the next line of standard error."""
        assert self.process.stderr is not None
        return read_line(self.process.stderr.fileno())


def read_line(fd: int) -> str:
    """Return the next line from a pipe, or a part of it at the end of the pipe or on a timeout."""
    line = b""
    deadline = time.monotonic() + PATIENCE_S
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            byte = os.read(fd, 1)
            if not byte:
                break
            line += byte
    return line.decode()
