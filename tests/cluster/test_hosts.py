"""The hosts themselves: what tests of clusters rely on."""

from __future__ import annotations

import subprocess
import sys
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


def test_tcp_recovers_from_a_cable_that_loses_and_reorders(hosts):
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


LINE = """
import struct, sys, zmq
from amoc.ipc.bus import tuning
tuning.SILENT_S, tuning.IDLE_S = 2, 1
role, address = sys.argv[1:]
socket = zmq.Context().socket(zmq.PULL if role == "parent" else zmq.PUSH)
tuning.tune(socket)
events = {zmq.EVENT_ACCEPTED: "there", zmq.EVENT_CONNECTED: "there", zmq.EVENT_DISCONNECTED: "gone"}
monitor = socket.get_monitor_socket(sum(events))
(socket.bind if role == "parent" else socket.connect)(f"tcp://{address}:4101")
while True:
    event, _ = monitor.recv_multipart()
    print(events[struct.unpack_from("=H", event)[0]], flush=True)
"""


def test_an_idle_bus_connection_that_is_cut_is_given_up_and_reopened(hosts, tmp_path):
    network = hosts(2)
    first, second = network.hosts
    ends = []
    for host, role in ((first, "parent"), (second, "child")):
        command = host.inside([sys.executable, "-c", LINE, role, first.address])
        with (tmp_path / role).open("w") as said:
            ends.append(subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT))

    def both(*expected: str) -> bool:
        told = [(tmp_path / role).read_text().split() for role in ("parent", "child")]
        return told == [[*expected]] * 2

    def told() -> str:
        return "\n".join((tmp_path / role).read_text() for role in ("parent", "child"))

    try:
        eventually(lambda: both("there"), told)
        network.cut(second)
        eventually(lambda: both("there", "gone"), told)
        network.heal(second)
        eventually(lambda: both("there", "gone", "there"), told)
    finally:
        for end in ends:
            end.kill()
            end.wait()
