"""Hosts that join a run: real keepers on loopback, and how others are turned away."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
import zmq
from gevent import subprocess  # the loop reaps all children of a process

from amoc import __version__
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ResourceError
from amoc.install.bundle import Bundle
from amoc.ipc import bus
from amoc.ipc.bus.directory import remove_dead
from amoc.ipc.messages.keeper import (
    FROM_HOST,
    FROM_KEEPER,
    TO_KEEPER,
    Beat,
    Begin,
    Chunk,
    Echo,
    Fetch,
    Join,
)
from amoc.runtime.remote import fencing, rendezvous
from amoc.runtime.remote import keeper as keeping
from amoc.runtime.remote.address import Address
from amoc.runtime.remote.joining import ABANDONED, join
from amoc.runtime.remote.launcher import CHUNK_BYTES, MAX_CHUNKS, RemoteLauncher

DEADLINE_S = 60.0
SECRET = "a secret of the run that is long enough"
ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, without blocking the event loop."""
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0.02)


class Controller:
    """Launchers, and the keepers that connect to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keepers: list[subprocess.Popen[str]] = []
        self.launchers: list[RemoteLauncher] = []

    def secret_file(self, secret: str = SECRET) -> Path:
        path = self.directory / f"secret{len(self.keepers)}"
        path.touch(0o600)
        path.write_text(secret)
        return path

    def launcher(
        self, count: int, timeout_s: float, data: bytes = b"", seats: int = 0
    ) -> RemoteLauncher:
        bind, bundle = Address("127.0.0.1", 0), Bundle(data, "none")
        made = RemoteLauncher(count, SECRET.encode(), bind, bundle, timeout_s, seats=seats)
        self.launchers.append(made)
        return made

    def starting(self, launcher: RemoteLauncher) -> gevent.Greenlet:
        """Begin the launcher's start, and wait until its port is known."""
        starting = gevent.spawn(launcher.start, "")
        eventually(lambda: launcher.port)
        return starting

    def keeper(
        self, port: int, secret: str = SECRET, timeout: str = "60s", **environ: str
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "amoc", "node", "--controller", f"tcp://127.0.0.1:{port}"]
        options = ["--secret-file", str(self.secret_file(secret)), "--timeout", timeout]
        env = os.environ | environ
        keeper = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env
        )
        self.keepers.append(keeper)
        return keeper

    def end(self) -> None:
        for launcher in self.launchers:
            for node in launcher.nodes:
                node.end(0.0)
            launcher.close()
            launcher.listen("")[0].destroy(linger=1000)
        for keeper in self.keepers:
            try:
                keeper.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                keeper.kill()
                raise
            assert keeper.stderr is not None
            keeper.stderr.close()


def await_nodes(launcher: RemoteLauncher, count: int) -> None:
    """Wait until `count` nodes have joined."""
    eventually(lambda: sum(node.is_there for node in launcher.nodes) >= count)


@contextmanager
def liar(launcher: RemoteLauncher) -> Iterator[bus.Child]:
    """A keeper that joins, for tests that then send arbitrary reports."""
    context = zmq.Context()
    address = Address("127.0.0.1", launcher.port)
    place = join(context, address, SECRET.encode(), DEADLINE_S, "liar")
    child = bus.Child(context, place.remote, f"keeper{place.number}", TO_KEEPER, FROM_KEEPER)
    try:
        child.join(DEADLINE_S)
        yield child
    finally:
        child.close()
        context.destroy(linger=0)


def ended(keeper: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a keeper to end, without blocking the event loop; return its code and stderr."""
    eventually(lambda: keeper.poll() is not None)
    assert keeper.stderr is not None
    return keeper.returncode, keeper.stderr.read()


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    made = Controller(tmp_path)
    yield made
    made.end()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_hosts_join_with_the_secret_until_the_run_has_all_its_nodes(controller):
    launcher = controller.launcher(2, DEADLINE_S)
    starting = controller.starting(launcher)
    for _ in range(2):
        controller.keeper(launcher.port)
    nodes = starting.get(timeout=DEADLINE_S)
    assert [node.number for node in nodes] == [0, 1]
    assert len({node.public_key for node in nodes}) == 2
    assert all(node.ended() is None for node in nodes)
    code, said = ended(controller.keeper(launcher.port))
    assert code == 8
    assert "has turned this host away: the run already has all of its 2 nodes" in said
    for keeper in controller.keepers:
        if keeper.poll() is None:
            assert SECRET not in Path(f"/proc/{keeper.pid}/cmdline").read_text()
            assert SECRET not in Path(f"/proc/{keeper.pid}/environ").read_text()


def test_late_hosts_are_accepted_up_to_max_nodes(controller):
    launcher = controller.launcher(1, DEADLINE_S, seats=2)
    starting = controller.starting(launcher)
    controller.keeper(launcher.port)
    assert [node.number for node in starting.get(timeout=DEADLINE_S)] == [0]
    controller.keeper(launcher.port)
    with gevent.Timeout(DEADLINE_S):
        late = next(launcher.newcomers())
    assert (late.number, late.ended()) == (1, None)
    code, said = ended(controller.keeper(launcher.port))
    assert code == 8
    assert "turned this host away: the run already has all of its 2 nodes (--max-nodes)" in said


def test_a_host_without_the_secret_is_refused_and_counted(controller):
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    code, said = ended(
        controller.keeper(launcher.port, "another secret, as long as it has to be", "1s")
    )
    assert code == 8
    assert "did not answer within 1 s" in said
    launcher.timeout_s = 0.1
    with pytest.raises(ResourceError, match="0 of 1 nodes have joined within 100 ms; refused"):
        starting.get(timeout=DEADLINE_S)


def test_a_join_timeout_reports_how_many_nodes_have_joined(controller):
    launcher = controller.launcher(3, DEADLINE_S)
    starting = controller.starting(launcher)
    keeper = controller.keeper(launcher.port)
    await_nodes(launcher, 1)
    launcher.timeout_s = 0.1
    why = r"1 of 3 nodes have joined \(\S+\) within 100 ms"
    with pytest.raises(ResourceError, match=why) as caught:
        starting.get(timeout=DEADLINE_S)
    assert ended(keeper) == (8, f"amoc: the run did not start: {caught.value}\n")


def test_both_sides_report_a_host_turned_away_for_its_version(controller, monkeypatch):
    monkeypatch.setattr(rendezvous, "__version__", "99.0")
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    code, said = ended(controller.keeper(launcher.port))
    assert code == 8
    assert "but the controller has 99.0" in said
    launcher.timeout_s = 0.1
    with pytest.raises(
        ResourceError, match=r"was turned away: it has amoc \S+, but the controller"
    ):
        starting.get(timeout=DEADLINE_S)


def test_invalid_messages_from_a_host_with_the_secret_do_no_harm(controller):
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    context = zmq.Context()
    mine = bus.shared_keys(SECRET.encode(), rendezvous.HOST)
    theirs = bus.shared_keys(SECRET.encode(), rendezvous.CONTROLLER)
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = theirs.public
    socket.curve_publickey, socket.curve_secretkey = mine.public, mine.secret
    socket.connect(f"tcp://127.0.0.1:{launcher.port}")
    fair = Join(__version__, platform.python_version(), "h", 1, b"k" * 40, b"n" * 40)
    unfair = (
        fair._replace(version=5),
        fair._replace(host=[]),
        fair._replace(pid=float("inf")),
        fair._replace(keeper_key=1 << 40),
        fair._replace(node_key=["a"] * 40),
    )
    packed = [b"x", b"", b"\x92\xa4Join\x01", *map(FROM_HOST.pack, unfair)]
    for nonsense in ([b"a", b"b"], *([one] for one in packed)):
        socket.send_multipart(nonsense)
    controller.keeper(launcher.port)
    (node,) = starting.get(timeout=DEADLINE_S)
    assert node.host != "h"
    for _ in packed:
        assert socket.poll(1000 * DEADLINE_S)
        assert b"Rejected" in socket.recv()
    socket.close()
    context.term()


def test_a_host_that_leaves_before_the_run_starts_frees_its_place(controller):
    launcher = controller.launcher(2, DEADLINE_S)
    starting = controller.starting(launcher)
    first = controller.keeper(launcher.port)
    await_nodes(launcher, 1)
    first.send_signal(signal.SIGINT)
    assert ended(first)[0] == 130
    others = [controller.keeper(launcher.port) for _ in range(2)]
    nodes = starting.get(timeout=DEADLINE_S)
    assert [node.number for node in nodes] == [0, 1]
    assert {node.join.pid for node in nodes} == {one.pid for one in others}


def test_a_controller_that_stalls_while_it_loads_keeps_its_hosts(controller):
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    keeper = controller.keeper(launcher.port)
    (node,) = starting.get(timeout=DEADLINE_S)
    time.sleep(1.5 * fencing.ORPHANED_NS / S_NS)  # blocks the whole process
    heard_ns = node.heard_ns
    eventually(lambda: node.heard_ns > heard_ns)
    asked_ns = now_ns()
    eventually(lambda: node.heard_ns > asked_ns + fencing.BEAT_S * S_NS)
    assert node.ended() is None
    assert keeper.poll() is None


@pytest.mark.parametrize("report", [Beat(1, "wide"), Fetch("all")])
def test_a_keeper_with_invalid_reports_is_given_up_and_others_are_kept(
    controller, monkeypatch, report
):
    monkeypatch.setattr(fencing, "GIVEN_UP_NS", 1 << 62)
    launcher = controller.launcher(2, DEADLINE_S)
    starting = controller.starting(launcher)
    controller.keeper(launcher.port)
    await_nodes(launcher, 1)
    with liar(launcher) as child, gevent.Timeout(DEADLINE_S):
        honest, lying = starting.get()
        child.report_urgent(report)
        eventually(lambda: lying.invalid)
        heard_ns = honest.heard_ns
        eventually(lambda: honest.heard_ns != heard_ns)
    assert lying.ended() is None  # its node may still be running
    monkeypatch.setattr(fencing, "GIVEN_UP_NS", 0)
    assert lying.ended().startswith("on liar has sent an invalid message: ")


def test_chunks_in_flight_to_a_keeper_are_limited(controller, monkeypatch):
    launcher = controller.launcher(1, DEADLINE_S, bytes(2 * CHUNK_BYTES))
    starting = controller.starting(launcher)
    with liar(launcher) as child, gevent.Timeout(DEADLINE_S):
        (node,) = starting.get()
        for _ in range(100):
            child.report_nowait(Fetch(0))
        heard_ns = node.heard_ns
        child.report_urgent(Beat(1))
        eventually(lambda: node.heard_ns != heard_ns)
        commands = []
        for command in child.commands():
            commands.append(command)
            if isinstance(command, Echo):
                break
    assert len([one for one in commands if isinstance(one, Chunk)]) == MAX_CHUNKS
    monkeypatch.setattr(fencing, "GIVEN_UP_NS", 0)
    assert node.ended() is not None


def test_the_next_run_removes_what_a_killed_keeper_left_behind(
    controller, short_directory, monkeypatch
):
    place = short_directory
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    keeper = controller.keeper(launcher.port, TMPDIR=str(place))
    (node,) = starting.get(timeout=DEADLINE_S)
    (left,) = place.iterdir()
    os.utime(left, (0, 0))
    remove_dead(str(place))
    assert left.exists(), "it is in use"
    keeper.kill()
    ended(keeper)
    remove_dead(str(place))
    assert not left.exists()
    monkeypatch.setattr(fencing, "GIVEN_UP_NS", 0)
    assert "has not been heard from" in node.ended()


def test_an_internal_error_ends_a_keeper_and_is_reported_on_both_sides(controller):
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    keeper = controller.keeper(launcher.port)
    (node,) = starting.get(timeout=DEADLINE_S)
    launcher.tell(node, Begin(b"", (), 5, 0))
    code, said = ended(keeper)
    assert code == 1
    assert "Traceback" in said
    assert "internal error: TypeError" in said
    eventually(node.ended)
    assert node.ended().startswith("was not started: internal error: TypeError")


def test_a_keeper_that_leaves_gives_its_reason(controller):
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    keeper = controller.keeper(launcher.port)
    (node,) = starting.get(timeout=DEADLINE_S)
    keeper.send_signal(signal.SIGTERM)
    assert ended(keeper) == (130, "amoc: told to stop by SIGTERM\n")
    eventually(node.ended)
    assert node.ended() == "was not started: told to stop by SIGTERM"


def test_a_keeper_whose_lifeline_closes_stops_looking_for_its_controller(controller):
    command = [sys.executable, "-m", "amoc", "node", "--controller", "tcp://127.0.0.1:1"]
    keeper = subprocess.Popen(
        [*command, "--secret-file", "-", "--timeout", "1h"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    controller.keepers.append(keeper)
    assert keeper.stdin is not None
    keeper.stdin.write(f"{SECRET}\n")
    keeper.stdin.close()
    assert ended(keeper) == (8, f"amoc: {ABANDONED}\n")


def test_a_keeper_that_is_never_welcomed_ends_when_its_lifeline_closes(controller, monkeypatch):
    monkeypatch.setattr(keeping, "JOIN_S", 1e6)
    launcher = controller.launcher(1, DEADLINE_S)
    starting = controller.starting(launcher)
    monkeypatch.setattr(bus.Parent, "expect", lambda *_: None)
    context, said = zmq.Context(), []
    address = Address("127.0.0.1", launcher.port)
    place = join(context, address, SECRET.encode(), DEADLINE_S, "here")
    reading, writing = os.pipe()
    running = gevent.spawn(keeping.Keeper(context, place, said.append).run, reading)
    os.close(writing)
    assert running.get(timeout=DEADLINE_S) == 8
    assert said == [ABANDONED]
    os.close(reading)
    context.destroy(linger=0)
    starting.kill()


def test_a_port_in_use_is_reported(controller):
    launcher = controller.launcher(1, 5.0)
    starting = controller.starting(launcher)
    other = RemoteLauncher(
        1, SECRET.encode(), Address("127.0.0.1", launcher.port), Bundle(b"", "none"), 5.0
    )
    controller.launchers.append(other)
    with pytest.raises(ResourceError, match="cannot be bound: Address already in use"):
        other.start("")
    starting.kill()
