"""A server for tests: one process on loopback, which does not outlive them.

Ports lie below 32768, where no outgoing connection can take them between our look and the server's.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

DEADLINE_S = 120.0
PORTS = range(20_000, 32_000)


def dies_with_us(signal: str = "TERM") -> list[str]:
    """Return what a server's command begins with, for the kernel to end it when we are killed.

    A killed test run tears nothing down. setpriv, which is part of util-linux, becomes the server,
    so the pid stays.
    """
    return ["setpriv", "--pdeathsig", signal] if shutil.which("setpriv") else []


def required(missing: str) -> None:
    """Skip the calling test because of what is `missing`, or fail it where nothing may be."""
    if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"AMOC_REQUIRE_SERVERS is 1, but {missing}")
    pytest.skip(missing)


def free_ports(count: int) -> list[int]:
    """Different ones; see `free_port`."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def free_port() -> int:
    """A loopback port that nobody listens on, out of reach of outgoing connections."""
    candidates = random.SystemRandom().sample(PORTS, 200)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"none of {len(candidates)} ports is free")


class Daemon:
    """A server process.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    death_signal = "TERM"

    def __init__(
        self, command: list[str], port: int, log: Path, env: dict[str, str], *others: int
    ) -> None:
        """Start it, and wait until it takes TCP connections on `port` and `others`.

        Its output goes to `log`.
        """
        self.port = port
        self._ports = (port, *others)
        self._command = command
        self._log = log
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, again if it was killed."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*dies_with_us(self.death_signal), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._log.parent,
            )
        try:
            for port in self._ports:
                self._wait_listening(self._process, port)
        except BaseException:
            self.kill()
            raise

    def _wait_listening(self, process: subprocess.Popen[bytes], port: int) -> None:
        give_up = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except OSError:
                time.sleep(0.02)
                continue
            return
        raise AssertionError(f"nobody listens on port {port}: {self._log.read_text()}")

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.kill()


class XmppServer(Daemon):
    """An XMPP server with accounts ``user_1`` / ``password_1`` and so on.

    Attributes:
        domain: Its domain, in which the accounts are.
        anonymous: A domain for logins without an account.
        http_port: Where it speaks WebSocket and BOSH.
        websocket_path: Its path for WebSocket.
        bosh_path: Its path for BOSH.
        component: The domain of an external component.
        component_secret: Its password.
        component_port: Where external components connect to.
    """

    http_port: int
    websocket_path: str
    bosh_path: str

    domain = "localhost"
    anonymous = "anonymous.localhost"
    component = "echo.localhost"
    component_secret = "s3cret"
    component_port: int
    accounts = sys.maxsize
    """How many accounts there are."""
    _taken = 0

    @property
    def address(self) -> str:
        """Where clients connect to, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        """Where WebSocket clients connect to."""
        return f"ws://127.0.0.1:{self.http_port}{self.websocket_path}"

    def new_user(self) -> int:
        """A user whom no other test has: tests share a server, and each takes users of its own."""
        self._taken += 1
        assert self._taken <= self.accounts, f"its {self.accounts} accounts are all taken"
        return self._taken

    @property
    def bosh(self) -> str:
        """Where BOSH clients connect to."""
        return f"http://127.0.0.1:{self.http_port}{self.bosh_path}"
