"""A server for tests: one process on loopback, which does not outlive them.

Ports are below 32768, so no outgoing connection can take one between our check and the server's.
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
    """Return the beginning of a server's command, which has the kernel end it if we are killed.

    A test run that is killed does not clean up. setpriv, which is part of util-linux, becomes the
    server, so the pid stays the same.
    """
    return ["setpriv", "--pdeathsig", signal] if shutil.which("setpriv") else []


def required(missing: str) -> None:
    """Skip the calling test as something is `missing`; fail it if AMOC_REQUIRE_SERVERS is 1."""
    if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"AMOC_REQUIRE_SERVERS is 1, but {missing}")
    pytest.skip(missing)


def free_ports(count: int) -> list[int]:
    """Return as many different ports; see `free_port`."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def free_port() -> int:
    """Return a free loopback port, outside the range of outgoing connections."""
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
        port: The port on 127.0.0.1 where it listens.
    """

    death_signal = "TERM"

    def __init__(
        self, command: list[str], port: int, log: Path, env: dict[str, str], *others: int
    ) -> None:
        """Start it, and wait until it accepts TCP connections on `port` and `others`.

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
        """Start it, or restart it after `kill`."""
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
        raise AssertionError(f"nothing listens on port {port}: {self._log.read_text()}")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it (SIGKILL), and wait until it has ended."""
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
        domain: The domain of the accounts.
        anonymous: A domain for logins without an account.
        http_port: The port for WebSocket and BOSH.
        websocket_path: The path for WebSocket.
        bosh_path: The path for BOSH.
        component: The domain of an external component.
        component_secret: Its password.
        component_port: The port for external components.
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
    """The number of accounts."""
    _taken = 0

    @property
    def address(self) -> str:
        """The address for clients, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        """The URL for WebSocket clients."""
        return f"ws://127.0.0.1:{self.http_port}{self.websocket_path}"

    def new_user(self) -> int:
        """Return a user that no other test uses: tests share the server."""
        self._taken += 1
        assert self._taken <= self.accounts, f"all of its {self.accounts} accounts are in use"
        return self._taken

    @property
    def bosh(self) -> str:
        """The URL for BOSH clients."""
        return f"http://127.0.0.1:{self.http_port}{self.bosh_path}"
