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


def test_what_goes_to_a_host_can_be_delayed(hosts):
    network = hosts(2)
    first, second = network.hosts
    network.worsen(second, "delay", "60ms")
    begun = time.monotonic()
    eventually(lambda: reaches(first, second.address), lambda: "hosts are as expected")
    assert time.monotonic() - begun >= 0.06


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
