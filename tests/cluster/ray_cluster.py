"""A Ray cluster on small hosts: a head without CPUs, workers, and a host outside the cluster.

Ray is large, so it is in a separate environment, whose Python AMOC_RAY names. Access to the cluster
requires its token. A worker that does not respond is detected within 8 s instead of 64.

Starting a host takes Ray 4 s of CPU time, and a run about 7 s. So if the Python is given by
AMOC_RAY_SHORT, as in CI, some of the tests are left out.
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
"""Time limit for an attempt to start hosts. On a busy machine Ray usually gives up after 30 s, but
sometimes never."""
TOKEN = "0123456789abcdef" * 4
# A host is checked every half second, and counts as dead after this many failed checks.
_QUICK = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    # With 3 it would take 4 s, but slow workers on a busy machine would be lost as well.
    "RAY_health_check_failure_threshold": "5",
}
_TOO_SLOW = "timed out during startup"
_TIMED_OUT = (124, 137)
"""Exit codes of timeout(1)."""


def python() -> str:
    """Return a Python with Ray and amoc's dependencies; skip the test if there is none."""
    variables = ("AMOC_RAY", "AMOC_RAY_SHORT")
    found = next(filter(None, map(os.environ.get, variables)), "")
    if not found:
        pytest.skip(f"{' or '.join(variables)} must name a Python that has Ray")
    return found


class RayCluster:
    """A running cluster.

    Attributes:
        head: The host of Ray's head.
        workers: The hosts with CPUs.
        outside: A host that is not in the cluster.
        inner: The value of ``--cluster`` on a host of the cluster.
        outer: Its value on a host outside.
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
            # In other directories the paths of its sockets would be too long.
            head = ["--head", f"--port={PORT}", "--num-cpus=0", "--temp-dir=/run/ray"]
            client = [f"--ray-client-server-port={CLIENT_PORT}"]
            # Each of these takes a second: the dashboard, the autoscaler, and logs of actors.
            without = ["--include-dashboard=false", "--no-monitor", "--include-log-monitor=false"]
            self._bring_up([self.head], [*head, *client, *without])
            join = [f"--address={self.head.address}:{PORT}", f"--num-cpus={CPUS}"]
            self._bring_up(self.workers, join)
        except BaseException:
            self.network.close()
            raise

    def env(self, host: Host, token: str = TOKEN) -> dict[str, str]:
        """Return the environment variables for using Ray on a host."""
        own = {"HOME": str(host.home), "TMPDIR": str(host.home), "PYTHONPATH": str(ROOT)}
        # A client that is refused retries 20 times, once a second.
        patience = {} if token == TOKEN else {"RAY_NUM_REDIS_GET_RETRIES": "1"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, **_QUICK, **patience, **own}

    def _start(self, host: Host, *options: str) -> subprocess.Popen[bytes]:
        own = [f"--node-ip-address={host.address}", "--object-store-memory=80000000"]
        bounded = ["timeout", "--kill-after=5", f"{START_S:.0f}", self._program, "start"]
        # A file, because processes of Ray would keep a pipe open.
        with _said(host).open("wb") as output:
            return subprocess.Popen(
                host.inside([*bounded, *own, "--disable-usage-stats", *options], self.env(host)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _bring_up(self, hosts: Sequence[Host], options: Sequence[str]) -> None:
        """Start Ray on hosts, and retry those that a busy machine was too slow to start."""
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
        """End a host abruptly, as a power failure does."""
        self.network.cut(host)
        host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.network.close()


def _said(host: Host) -> Path:
    """Return the file with the output of ``ray start`` on a host."""
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
