"""Runs whose nodes join as on other hosts, by keepers that are all on loopback."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from amoc.runtime.remote.address import PORTS
from tests.process.support import ROOT, Run, running

SECRET = "a secret of the run that is long enough"


def free_ports() -> int:
    """Return the first of `PORTS` consecutive free ports."""
    while True:
        # Below the ephemeral ports, so that no connection takes one before the run binds them all.
        port = random.randrange(10_000, 32_000)
        with ExitStack() as stack, suppress(OSError):
            for one in range(port, port + PORTS):
                stack.enter_context(socket.create_server(("127.0.0.1", one)))
            return port


class Joined:
    """A run, and the keepers that join it.

    Attributes:
        run: The ``amoc run``.
        keepers: The keepers started here.
    """

    def __init__(self, run: Run, port: int, secret: Path, cache: Path) -> None:
        self.run = run
        self.keepers: list[subprocess.Popen[bytes]] = []
        self._port = port
        self._secret = secret
        self._cache = cache

    def keeper(self, name: str) -> subprocess.Popen[bytes]:
        """Start the keeper of a host named `name`."""
        command = [sys.executable, "-m", "amoc", "node", "--name", name]
        where = ["--controller", f"tcp://127.0.0.1:{self._port}", "--secret-file"]
        env = {**os.environ, "XDG_CACHE_HOME": str(self._cache)}
        env["TMPDIR"] = str(self.run.temporary)
        started = subprocess.Popen([*command, *where, str(self._secret)], cwd=ROOT, env=env)
        self.keepers.append(started)
        return started

    def end_keepers(self) -> None:
        for one in self.keepers:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
                one.send_signal(signal.SIGCONT)
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
                raise


@contextmanager
def joined(
    scenario: str | Path, count: int, *arguments: str, directory: Path, nodes: int | None = None
) -> Iterator[Joined]:
    """Run ``amoc run --cluster join --nodes`` `nodes`, with `count` nodes of one worker each."""
    port, secret = free_ports(), directory / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    cluster = ("--cluster", "join", "--nodes", str(nodes or count), "--secret-file", str(secret))
    bind = ("--bind", f"127.0.0.1:{port}", "--workers", "1", "--set", "user_rate=infinity")
    with running(scenario, *cluster, *bind, *arguments, directory=directory) as run:
        it = Joined(run, port, secret, directory / "cache")
        try:
            for number in range(count):
                it.keeper(f"h{number}")
            yield it
        finally:
            it.end_keepers()
