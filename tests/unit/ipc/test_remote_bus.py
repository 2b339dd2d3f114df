"""The bus between hosts, over real TCP: only peers with an expected key are admitted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
import zmq
from gevent import socket as gsocket
from gevent.server import StreamServer

from amoc.base.errors import PeerError, ResourceError
from amoc.ipc.bus import Child, Gate, Listen, Parent, Received, Remote, new_keys, shared_keys
from amoc.ipc.bus import end as both_ends
from amoc.ipc.bus import refusals as counting
from amoc.ipc.bus.place import secure
from amoc.ipc.bus.report_queue import pack_batch
from amoc.ipc.bus.tuning import BACKLOG
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Go, Hello, Note
from amoc.ipc.messages.users import Started

DEADLINE_S = 60.0
ANY = Codec(Go | Hello | Note | Started)


def wait(condition):
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0.005)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Controller:
    """A parent behind a gate, with everything it received."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.context = zmq.Context()
        self.gate = Gate(self.context)
        self.keys = new_keys()
        self.parent = Parent(self.context, Listen(self.gate, self.keys, address), ANY, ANY)
        self.received: list[Received] = []
        self.opened: list[zmq.Socket | Child] = []
        self.tasks = [gevent.spawn(self._receive)]

    def _receive(self):
        for received in self.parent.reports():
            if received is not None:
                self.received.append(received)

    @property
    def port(self) -> int:
        return int(self.parent.endpoints[1].rpartition(":")[2])

    def place(self, keys, parent_key=None) -> Remote:
        return Remote(*self.parent.endpoints, parent_key or self.keys.public, keys)

    def child(self, name: str, keys, parent_key=None) -> Child:
        child = Child(self.context, self.place(keys, parent_key), name, ANY, ANY)
        self.opened.append(child)
        return child

    def join(self, name: str, keys=None) -> Child:
        keys = keys or new_keys()
        self.parent.expect(name, keys.public)
        child = self.child(name, keys)
        child.join(DEADLINE_S)
        wait(lambda: Received(name, Hello(os.getpid())) in self.received)
        return child

    def pusher(self, keys=None, parent_key=None) -> zmq.Socket:
        """Return a socket that can send reports in any name."""
        pusher = self.context.socket(zmq.PUSH)
        pusher.linger = 0
        if keys is not None:
            secure(pusher, parent_key or self.keys.public, keys)
        pusher.connect(self.parent.endpoints[1])
        self.opened.append(pusher)
        return pusher

    def refused(self):
        return self.gate.refused()

    def reported(self, name: str) -> list[object]:
        return [one.record for one in self.received if one.child == name]

    def end(self):
        gevent.killall(self.tasks)
        for one in self.opened:
            one.close()
        self.parent.close()
        self.gate.close()
        self.context.destroy(linger=0)


@pytest.fixture
def controller():
    made = Controller()
    yield made
    made.end()


@pytest.mark.skipif(not shutil.which("ss"), reason="needs ss of iproute2")
def test_the_listen_backlog_is_as_large_as_the_kernel_allows(controller):
    command = ["ss", "-ltnH", f"sport = :{controller.port}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert int(told.split()[2]) == min(BACKLOG, most)


@contextmanager
def honest_node_unaffected(controller):
    """Whatever else connects, only reports of the real node are received."""
    child = controller.join("node0.1")
    yield
    before = len(controller.reported("node0.1"))
    child.report(Go())
    wait(lambda: len(controller.reported("node0.1")) > before)
    assert {one.child for one in controller.received} <= {"node0.1", ""}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
    ],
)
def test_commands_and_reports_pass_between_hosts_in_order(address):
    controller = Controller(address)
    try:
        child = controller.join("node0.1")
        commands = [Started(0, number) for number in range(500)]
        for command in commands:
            controller.parent.send("node0.1", command)
            child.report(command)
        got = []
        for command in child.commands():
            got += [command] if command is not None else []
            if len(got) == len(commands):
                break
        assert got == commands
        wait(lambda: controller.reported("node0.1")[1:] == commands)
        assert not controller.refused().text()
    finally:
        controller.end()


def test_an_unexpected_key_is_refused_and_counted(controller):
    with honest_node_unaffected(controller):
        stranger = controller.child("node0.1", new_keys())
        with pytest.raises(PeerError, match="was not welcomed"):
            stranger.join(0.5)
        wait(lambda: controller.refused().unknown_keys)


def test_a_peer_without_the_controllers_key_is_refused_and_counted(controller):
    with honest_node_unaffected(controller):
        controller.parent.expect("node1.1", (keys := new_keys()).public)
        controller.pusher(keys, parent_key=new_keys().public).send(b"hello")
        wait(lambda: controller.refused().other)


def test_an_unencrypted_peer_is_refused_and_counted(controller):
    with honest_node_unaffected(controller):
        batch = pack_batch("node0.1", 7, 0, [ANY.pack(Started(0, 7))])
        controller.pusher().send(batch)
        wait(lambda: controller.refused().other)
        assert Started(0, 7) not in controller.reported("node0.1")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00" + bytes(300),
        b"SSH-2.0-scan\r\n",
        b"\xff" * 5000,
        b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(47) + b"\x04\xc8\x05HELLO" + b"x" * 194,
    ],
    ids=["nothing", "http", "tls", "ssh", "noise", "hello"],
)
def test_a_port_scan_is_refused_and_counted(controller, monkeypatch, garbage):
    with honest_node_unaffected(controller):
        monkeypatch.setattr(counting, "HANDSHAKE_NS", 10_000_000)
        with socket.create_connection(("127.0.0.1", controller.port), DEADLINE_S) as scan:
            scan.sendall(garbage)
        wait(lambda: controller.refused().other == 1)


def test_a_report_in_the_name_of_another_node_is_refused(controller):
    with honest_node_unaffected(controller):
        controller.parent.expect("node1.1", (keys := new_keys()).public)
        liar = controller.pusher(keys)
        liar.send(pack_batch("node0.1", 2, 0, [ANY.pack(Started(0, 7))]))
        wait(lambda: controller.refused().late == 1)
        assert Started(0, 7) not in controller.reported("node0.1")


def test_late_frames_of_an_ended_incarnation_are_dropped_and_counted(controller):
    keys = new_keys()
    dead = controller.join("node1.1", keys)
    controller.parent.forget("node1.1")
    controller.received.clear()
    alive = controller.join("node1.2")
    dead.report(Started(0, 1))
    wait(lambda: controller.refused().late)
    alive.report(Started(0, 2))
    wait(lambda: Started(0, 2) in controller.reported("node1.2"))
    assert not controller.reported("node1.1")


def test_an_ended_incarnation_cannot_rejoin_with_its_key(controller):
    keys = new_keys()
    controller.join("node1.1", keys).close()
    controller.parent.forget("node1.1")
    controller.join("node1.2")
    with pytest.raises(PeerError, match="was not welcomed"):
        controller.child("node1.1", keys).join(0.5)
    with pytest.raises(PeerError, match="was not welcomed"):
        controller.child("node1.2", keys).join(0.5)
    wait(lambda: controller.refused().unknown_keys >= 2)


def test_an_ended_incarnation_receives_no_commands_for_the_next_one(controller):
    dead = controller.join("node1.1")
    controller.parent.forget("node1.1")
    alive = controller.join("node1.2")
    controller.parent.send("node1.2", Go())
    assert next(one for one in alive.commands() if one is not None) == Go()
    assert next(dead.commands()) is None


def test_refused_connections_are_reported_to_the_operator_once(controller):
    controller.join("node0.1")
    for _ in range(3):
        controller.pusher(new_keys()).send(b"hello")
    warnings = lambda: [one.record for one in controller.received if isinstance(one.record, Note)]  # noqa: E731
    wait(warnings)
    wait(lambda: controller.refused().unknown_keys == 3)
    assert [one.level for one in warnings()] == ["warning"]
    assert "with a key that does not belong to this run" in warnings()[0].text


def test_nobody_can_join_once_the_gate_is_closed(controller, monkeypatch):
    monkeypatch.setattr(both_ends, "LINGER_MS", 0)
    keys = new_keys()
    controller.parent.expect("node1.1", keys.public)
    controller.gate.close()
    with pytest.raises(PeerError, match="was not welcomed"):
        controller.child("node1.1", keys).join(0.5)


def test_a_port_in_use_is_named(controller):
    place = Listen(controller.gate, new_keys(), "127.0.0.1", (0, controller.port))
    with pytest.raises(ResourceError, match=f"tcp://127.0.0.1:{controller.port} cannot be bound"):
        Parent(controller.context, place, ANY, ANY)


def test_keys_are_fresh_and_secret_keys_are_not_shown():
    first, second = new_keys(), new_keys()
    assert len({*(first.public, first.secret), *(second.public, second.secret)}) == 4
    assert first.secret.decode() not in f"{first}{Remote('', '', b'', first)}"


def test_the_same_secret_and_purpose_give_the_same_keys():
    assert shared_keys(b"a secret", "join") == shared_keys(b"a secret", "join")
    assert shared_keys(b"a secret", "join") != shared_keys(b"a secret", "controller")
    assert shared_keys(b"a secret", "join") != shared_keys(b"another", "join")
    keys = shared_keys(b"a secret", "join")
    assert zmq.curve_public(keys.secret) == keys.public


def test_traffic_on_the_wire_cannot_be_read(controller):
    seen = bytearray()

    def pass_on(source, target):
        while data := source.recv(65536):
            seen.extend(data)
            target.sendall(data)

    def relay(client, _):
        with gsocket.create_connection(("127.0.0.1", controller.port)) as parent:
            ways = gevent.spawn(pass_on, client, parent), gevent.spawn(pass_on, parent, client)
            gevent.joinall(ways, count=1)
            gevent.killall(ways)

    secret, keys = "what nobody may know", new_keys()
    controller.parent.expect("node0.1", keys.public)
    with StreamServer(("127.0.0.1", 0), relay) as between:
        between.start()
        pusher = controller.context.socket(zmq.PUSH)
        controller.opened.append(pusher)
        secure(pusher, controller.keys.public, keys)
        pusher.connect(f"tcp://127.0.0.1:{between.server_port}")
        pusher.send(pack_batch("node0.1", 1, 0, [ANY.pack(Note("info", secret))]))
        wait(lambda: controller.reported("node0.1"))
    assert controller.reported("node0.1") == [Note("info", secret)]
    assert secret.encode() not in seen
    assert keys.secret not in seen
    assert len(seen) > len(secret)
