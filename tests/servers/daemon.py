"""A server for tests: one process on loopback, that does not outlive them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

DEADLINE_S = 30.0

# A test run that is killed tears nothing down: the kernel ends the server then. setpriv, which is
# part of util-linux, becomes the server, so the pid stays.
DIES_WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def required(missing: str) -> None:
    """Skip the calling test because of what is `missing`, or fail it where nothing may be."""
    if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"AMOC_REQUIRE_SERVERS is 1, but {missing}")
    pytest.skip(missing)


def await_listening(
    process: subprocess.Popen[bytes], port: int, deadline_s: float, said: Callable[[], str]
) -> None:
    """Wait until `process` takes connections on `port`; else fail with what it has `said`."""
    give_up = time.monotonic() + deadline_s
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    raise AssertionError(f"nobody listens on port {port}: {said()}")


class Daemon:
    """A server process.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, command: list[str], port: int, log: Path, env: dict[str, str]) -> None:
        """Start it, and wait until it takes TCP connections on `port`."""
        self.port = port
        self._command = command
        self._log = log
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, again if it was killed."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._log.parent,
            )
        try:
            await_listening(self._process, self.port, DEADLINE_S, self._log.read_text)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.kill()
