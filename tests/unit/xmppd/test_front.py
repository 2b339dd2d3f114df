"""The server with several processes: invisible to clients, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.process.support import alive, eventually
from tests.unit.xmppd.lab import stream_error
from tests.unit.xmppd.sockets import PATIENCE_S, Daemon, Peer

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def statistics(daemon: Daemon) -> dict[str, str]:
    os.kill(daemon.process.pid, signal.SIGUSR1)
    while not (line := daemon.error_line()).startswith("xmppd uptime_s="):
        assert line, "the server says nothing more"
    return dict(pair.split("=") for pair in line.split()[1:])


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon("port=0, connections=40, processes=2") as daemon:
        yield daemon


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count


def test_clients_of_different_processes_exchange_messages(daemon: Daemon) -> None:
    before = {pid: descriptors(pid) for pid in children(daemon.process.pid)}
    assert len(before) == 2
    peers = [Peer(daemon.port) for _ in range(40)]
    for number, peer in enumerate(peers, 1):
        peer.log_in(number)
    held = [descriptors(pid) - count for pid, count in before.items()]
    assert sum(held) == 40
    # Whichever process holds which client, a ring of messages passes between all of them.
    for number, peer in enumerate(peers, 1):
        to = number % len(peers) + 1
        peer.say(f"<message to='user_{to}@localhost/r' id='{number}'/>".encode())
    for number, peer in enumerate(peers, 1):
        assert f"id='{(number - 2) % len(peers) + 1}'".encode() in peer.until(b"/>")
    with Peer(daemon.port) as refused:
        assert stream_error(refused.until_closed()) == "resource-constraint"
    for peer in peers:
        peer.sock.close()
    eventually(lambda: statistics(daemon)["connections"] == "0", "all are forgotten")
    eventually(lambda: {pid: descriptors(pid) for pid in before} == before, "no descriptor is left")


def test_many_messages_arrive_complete_and_in_order(daemon: Daemon) -> None:
    with Peer(daemon.port) as one, Peer(daemon.port) as two:
        one.log_in(1)
        two.log_in(2)
        count, filler = 2000, "x" * 2000

        def send() -> None:
            for number in range(count):
                one.say(
                    f"<message to='user_2@localhost/r' id='{number}'><body>{filler}</body>"
                    "</message>".encode()
                )

        sending = gevent.spawn(send)
        assert [two.message().get("id") for _ in range(count)] == [str(it) for it in range(count)]
        sending.get(timeout=PATIENCE_S)


def test_a_client_that_ends_its_stream_gets_a_stream_end(daemon: Daemon) -> None:
    with Peer(daemon.port) as one:
        one.log_in(1)
        one.say(b"</stream:stream>")
        assert one.until_closed().endswith(b"</stream:stream>")


def test_a_slow_reader_is_cut_off(daemon: Daemon) -> None:
    with Peer(daemon.port, receive_buffer=4096) as slow, Peer(daemon.port) as sender:
        slow.log_in(1)
        sender.log_in(2)
        message = b"<message to='user_1@localhost/r'><body>" + b"x" * 50_000 + b"</body></message>"
        with gevent.Timeout(PATIENCE_S):
            while statistics(daemon)["slow_readers"] == "0":
                sender.say(message * 20)
        slow.until_closed()
        sender.say(b"<message to='user_2@localhost' id='a'><body>hi</body></message>")
        while sender.message().get("id") != "a":
            pass


def test_all_processes_end_together(daemon: Daemon) -> None:
    tree = {daemon.process.pid, *children(daemon.process.pid)}
    with Peer(daemon.port) as one:
        one.log_in(1)
        daemon.process.send_signal(signal.SIGTERM)
        assert stream_error(one.until_closed()) == "system-shutdown"
    assert daemon.process.wait(PATIENCE_S) == 0
    eventually(lambda: not alive(tree), "nothing is left")


def test_the_child_processes_end_when_the_server_is_killed(daemon: Daemon) -> None:
    tree = set(children(daemon.process.pid))
    with Peer(daemon.port) as one:
        one.log_in(1)
        daemon.process.kill()
        one.until_closed()
    eventually(lambda: not alive(tree), "nothing is left")


def test_a_killed_child_process_takes_only_its_own_clients_with_it(daemon: Daemon) -> None:
    peers = [Peer(daemon.port) for _ in range(20)]
    for number, peer in enumerate(peers, 1):
        peer.log_in(number)
    os.kill(max(children(daemon.process.pid), key=descriptors), signal.SIGKILL)
    eventually(lambda: int(statistics(daemon)["connections"]) < 20, "its clients are gone")
    assert statistics(daemon)["bound"] == statistics(daemon)["connections"]
    with Peer(daemon.port) as late:
        late.log_in(21)
    for peer in peers:
        peer.sock.close()
