"""The hosts themselves: what tests of clusters rely on."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.cluster.hosts import Host
from tests.cluster.patience import DEADLINE_S, eventually


def reaches(source: Host, target: str) -> bool:
    """Whether a connection to sshd is made, within a second."""
    script = f"import socket; socket.create_connection(({target!r}, 22), 1).recv(4)"
    command = source.inside(["python3", "-c", script])
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_S).returncode == 0


def test_hosts_reach_each_other_until_one_is_cut_off_and_again_when_it_is_healed(hosts):
    network = hosts(3)
    first, second, third = network.hosts
    eventually(lambda: reaches(first, second.address), lambda: "hosts are as expected")
    assert reaches(first, second.address6)
    assert first.run("ssh", second.name, "hostname; echo $XDG_CACHE_HOME").split()[-1] == str(
        second.home / "cache"
    )
    network.cut(second)
    assert not reaches(first, second.address)
    assert reaches(first, third.address)
    network.heal(second)
    eventually(lambda: reaches(first, second.address), lambda: "hosts are as expected")


def test_a_cable_delays_both_ways(hosts):
    network = hosts(2)
    first, second = network.hosts
    eventually(lambda: reaches(first, second.address), lambda: "hosts are as expected")
    network.worsen(second, delay_ms=60)
    eventually(lambda: reaches(first, second.address), lambda: "hosts are as expected")
    begun = time.monotonic()
    assert reaches(first, second.address)
    assert time.monotonic() - begun >= 0.24  # to connect and to be greeted, there and back


def test_a_cable_loses_and_reorders_and_tcp_mends_that(hosts):
    network = hosts(2)
    first, second = network.hosts
    counts = network.worsen(second, delay_ms=1, jitter_ms=2, loss=0.05)
    sent = "".join(f"{number}\n" for number in range(50_000))
    assert first.run("ssh", second.name, "cat", data=sent) == sent
    carried = counts()
    assert carried["carried"] > 100
    assert carried["lost"] > 0
    assert carried["overtaken"] > 0
    assert carried["overflowed"] == 0


def test_nothing_is_left_of_hosts_that_are_gone(hosts):
    network = hosts(1)
    (host,) = network.hosts
    left = subprocess.Popen(host.inside(["setsid", "sleep", "600"]))
    eventually(
        lambda: any("sleep 600" in line for line in host.processes()),
        lambda: "hosts are as expected",
    )
    network.close()
    left.wait(DEADLINE_S)
    assert not Path(f"/proc/{host.pid}").exists()
