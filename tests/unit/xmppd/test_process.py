"""The server as a separate process: start, shutdown, and many clients at once."""

from __future__ import annotations

import os
import signal
import socket as plain_socket
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest
from gevent.pool import Pool

from tests.unit.xmppd.lab import stream_error
from tests.unit.xmppd.sockets import PATIENCE_S, PROJECT, Daemon, Peer, read_line

pytestmark = pytest.mark.slow


def test_the_server_prints_one_line_when_it_is_ready() -> None:
    with Daemon() as daemon:
        assert daemon.port, daemon.ready
        title = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        assert title.rstrip(b"\0") == b"amoc: xmppd"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_and_notifies_clients(number: signal.Signals) -> None:
    with Daemon("port=0, stats=True") as daemon, Peer(daemon.port) as peer:
        peer.log_in(1)
        daemon.process.send_signal(number)
        assert stream_error(peer.until_closed()) == "system-shutdown"
        peer.sock.close()
        assert daemon.process.wait(PATIENCE_S) == 0
        assert " logins=1 " in daemon.error_line()
        assert daemon.error_line() == "", "no traceback"


def test_sigusr1_prints_statistics() -> None:
    with Daemon() as daemon, Peer(daemon.port) as peer:
        peer.log_in(1)
        daemon.process.send_signal(signal.SIGUSR1)
        line = daemon.error_line()
        assert line.startswith("xmppd uptime_s=")
        assert " connections=1 " in line
        assert " bound=1 " in line
        assert daemon.process.poll() is None


def test_closing_standard_input_ends_a_server_with_a_lifeline() -> None:
    with Daemon("port=0, lifeline=True") as daemon:
        assert daemon.process.stdin is not None
        daemon.process.stdin.write(b"not the end yet\n")
        daemon.process.stdin.flush()
        with Peer(daemon.port) as peer:
            peer.log_in(1)
        daemon.process.stdin.close()
        assert daemon.process.wait(PATIENCE_S) == 0


def test_the_server_does_not_outlive_a_killed_parent() -> None:
    # Its standard input is a pipe that this test keeps open, so only the death signal can end it.
    read_end, write_end = os.pipe()
    code = "from amoc.xmppd import serve; serve(port=0, lifeline=True)"
    parent_code = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {code!r}], stdin={read_end});"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        pass_fds=[read_end],
    ) as parent:
        assert parent.stdout is not None
        child = int(read_line(parent.stdout.fileno()))
        assert "listening" in read_line(parent.stdout.fileno())
        parent.kill()
    deadline = time.monotonic() + PATIENCE_S
    while alive(child):
        assert time.monotonic() < deadline, "the server outlived its parent"
        gevent.sleep(0.01)
    os.close(read_end)
    os.close(write_end)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_port_in_use_is_an_error_without_a_ready_line() -> None:
    with plain_socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Daemon(f"port={port}") as daemon:
            assert daemon.ready == ""
            assert daemon.process.wait(PATIENCE_S) == 1
            assert daemon.process.stderr is not None
            last = daemon.process.stderr.read().decode().splitlines()[-1]
            assert last.endswith(
                f"ResourceError: port of 127.0.0.1:{port} is in use by another process;"
                " choose another one, or 0 for any"
            )


@pytest.mark.once
def test_two_thousand_clients_log_in_and_exchange_messages() -> None:
    count = 2000
    with Daemon("port=0, connections=2000, stats=True") as daemon:
        # All connect before any of them sends a byte.
        pool = Pool(count)
        peers = pool.map(lambda _: Peer(daemon.port), range(count))
        pool.map(lambda number: peers[number].log_in(number + 1), range(count))
        for number, peer in enumerate(peers):
            to = (number + 1) % count + 1
            peer.say(f"<message to='user_{to}@localhost'><body>hi</body></message>".encode())
        senders = [peer.message().get("from") for peer in peers]
        assert senders == [f"user_{(n - 1) % count + 1}@localhost/r" for n in range(count)]
        for peer in peers:
            peer.sock.close()
        daemon.process.terminate()
        assert daemon.process.wait(PATIENCE_S) == 0
        line = daemon.error_line()
        for pair in ("connections_peak=2000", "logins=2000", "messages_routed=2000"):
            assert f" {pair} " in line
        assert " internal_errors=0" in line


@pytest.mark.once
def test_repeated_mass_disconnects_leave_nothing_behind() -> None:
    with Daemon("port=0, connections=300, stats=True") as daemon:
        pool = Pool(100)
        for _ in range(5):
            peers = pool.map(lambda _: Peer(daemon.port), range(300))
            pool.map(lambda number: peers[number].log_in(number + 1), range(300))  # noqa: B023
            for peer in peers:
                peer.sock.close()
        with gevent.Timeout(PATIENCE_S):
            line = ""
            while " connections=0 " not in line:
                daemon.process.send_signal(signal.SIGUSR1)
                line = daemon.error_line()
        for pair in ("bound=0", "logins=1500", "internal_errors=0"):
            assert f" {pair}" in line
