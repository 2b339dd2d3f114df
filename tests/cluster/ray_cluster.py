"""A Ray cluster on small hosts: a head without CPUs, workers, and a host outside.

Ray has an environment of its own, for it is large; AMOC_RAY names its Python. Whoever wants to use
the cluster has to know its token. A worker that is silent is noticed within 8 s, not 64.

To start a host costs 4 s of CPU, which are Ray's own, and a run some 7 s. So where AMOC_RAY_SHORT
names the Python, as CI has it, some of what there is to test is left out.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import pytest

from tests.cluster.hosts import ROOT, Host, Network, available
from tests.cluster.patience import LONGEST_S
from tests.cluster.runs import Run, until_ended

PORT, CLIENT_PORT = 6379, 10001
WORKERS = CPUS = 2
ATTEMPTS = 4
START_S = 60.0
"""How long an attempt to start hosts may take. On a busy machine Ray gives up by itself after 30 s,
and now and then not at all."""
TOKEN = "0123456789abcdef" * 4
# A host that misses so many checks counts as dead; one is made each half second.
_QUICK = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    # With 3 it would be noticed in 4 s, but so would a worker that a busy machine holds up.
    "RAY_health_check_failure_threshold": "5",
}
_TOO_SLOW = "timed out during startup"
_TIMED_OUT = (124, 137)
"""What timeout(1) ends with."""


def python() -> str:
    """A Python with Ray, and what amoc depends on."""
    variables = ("AMOC_RAY", "AMOC_RAY_SHORT")
    found = next(filter(None, map(os.environ.get, variables)), "")
    if not found:
        pytest.skip(f"{' or '.join(variables)} names no Python that has Ray")
    return found


class RayCluster:
    """A running cluster.

    Attributes:
        head: The host of Ray's head.
        workers: Those with CPUs.
        outside: Another one.
        inner: What ``--cluster`` says on a host of the cluster.
        outer: What it says outside.
    """

    def __init__(self, directory: Path) -> None:
        """Start it; its hosts write to `directory`."""
        self.python = python()
        self._program = str(Path(self.python).parent / "ray")
        available()
        self.network = Network(2 + WORKERS, directory)
        self.head, *self.workers, self.outside = self.network.hosts
        self.inner = f"ray:{self.head.address}:{PORT}"
        self.outer = f"ray://{self.head.address}:{CLIENT_PORT}"
        try:
            for host in self.network.hosts:
                host.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
            # Its paths are too long for sockets anywhere else.
            head = ["--head", f"--port={PORT}", "--num-cpus=0", "--temp-dir=/run/ray"]
            client = [f"--ray-client-server-port={CLIENT_PORT}"]
            # Each of them costs a second: nothing is shown, scaled, or logged by actors there.
            without = ["--include-dashboard=false", "--no-monitor", "--include-log-monitor=false"]
            self._bring_up([self.head], [*head, *client, *without])
            join = [f"--address={self.head.address}:{PORT}", f"--num-cpus={CPUS}"]
            self._bring_up(self.workers, join)
        except BaseException:
            self.network.close()
            raise

    def env(self, host: Host, token: str = TOKEN) -> dict[str, str]:
        """The environment of whoever uses Ray on a host."""
        own = {"HOME": str(host.home), "TMPDIR": str(host.home), "PYTHONPATH": str(ROOT)}
        # Whoever is refused asks 20 times, once a second.
        patience = {} if token == TOKEN else {"RAY_NUM_REDIS_GET_RETRIES": "1"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, **_QUICK, **patience, **own}

    def _start(self, host: Host, *options: str) -> subprocess.Popen[bytes]:
        own = [f"--node-ip-address={host.address}", "--object-store-memory=80000000"]
        bounded = ["timeout", "--kill-after=5", f"{START_S:.0f}", self._program, "start"]
        # To a file: a pipe that something of Ray holds has no end.
        with _said(host).open("wb") as output:
            return subprocess.Popen(
                host.inside([*bounded, *own, "--disable-usage-stats", *options], self.env(host)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _bring_up(self, hosts: Sequence[Host], options: Sequence[str]) -> None:
        """Start Ray on hosts; again where a busy machine was too slow for that."""
        for attempt in range(ATTEMPTS):
            starting = [(host, self._start(host, *options)) for host in hosts]
            ended = [(host, one.wait(LONGEST_S)) for host, one in starting]
            failed = [(host, code, _said(host).read_text()) for host, code in ended if code]
            if not failed:
                return
            too_slow = [code in _TIMED_OUT or _TOO_SLOW in said for _, code, said in failed]
            assert all(too_slow), failed
            assert attempt + 1 < ATTEMPTS, failed
            hosts = [host for host, *_ in failed]
            for host in hosts:
                host.run(self._program, "stop", "--force")

    def power_off(self, host: Host) -> None:
        """End a host at once; nobody is told."""
        self.network.cut(host)
        host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.network.close()


def _said(host: Host) -> Path:
    """Where ``ray start`` writes on a host."""
    return host.home / "ray-start"


def over_ray(
    cluster: RayCluster, head: Host, directory: Path, turns: int, *options: str
) -> AbstractContextManager[Run]:
    """A run on all hosts of Ray that have CPUs."""
    address = cluster.outer if head is cluster.outside else cluster.inner
    where = ["--cluster", address, "--nodes", str(WORKERS)]
    where += ["--join-timeout", f"{LONGEST_S:.0f}s"]
    env = cluster.env(head)
    return until_ended(
        Run(head, cluster.workers, directory, turns, [*where, *options], cluster.python, env)
    )
