"""What the embedded XMPP server costs: CPU per login and per message, and memory per connection.

The server runs in a separate process and is charged the CPU time that the kernel reports
(/proc/PID/stat), so other work on the machine matters little. The load comes from this process,
from a minimal client that knows just enough XMPP. Its own lateness is printed first: if the load
fell behind, the figures say little about pacing, but the CPU per message is still valid.

    python -m benchmarks.xmpp_server [--users 1000] [--rate 2000] [--seconds 5] [--mechanism PLAIN]

With --port and --pid it measures another server that is already running and knows the users
user_1, user_2, ... at localhost by their passwords password_1, ...: the ratio of two runs says more
than either figure.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import gevent
from gevent import socket
from gevent.pool import Pool

from amoc.xmpp.wire import scram_keys as scram
from amoc.xmppd.listener import connection_limit
from benchmarks import outcome

SHORT = ["--users", "10", "--rate", "100", "--seconds", "0.5"]

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
DEADLINE_S = 120.0
LATE_S = 0.1
"""Beyond this, messages were sent in bursts and not at the requested rate."""


class Server:
    """A server's process, and its costs."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_bytes(self) -> int:
        """Return the resident memory of the server."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def stop(self) -> None:
        """Leave it running: it was not started here."""


class Embedded(Server):
    """The embedded server, started for this benchmark."""

    def __init__(self, connections: int) -> None:
        code = (
            "from amoc.xmppd import serve;"
            f"serve(port=0, connections={connections}, lifeline=True, stats=True)"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+),", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line!r}")
        super().__init__(int(found[1]), self.process.pid)

    def stop(self) -> None:
        """End it and wait for it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


class Client:
    """Logs in, and counts the messages that arrive."""

    def __init__(self, number: int, port: int, mechanism: str) -> None:
        self.number = number
        self.received = 0
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = b""
        self._open()
        if mechanism == "PLAIN":
            self._plain()
        else:
            self._scram(mechanism)
        self._open()
        self._say(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b"<resource>r</resource></bind></iq>",
            b"</iq>",
        )
        self._say(b"<presence/>", b"<presence")

    def _open(self) -> None:
        self._say(HEADER, b"</stream:features>")

    def _say(self, data: bytes, until: bytes) -> bytes:
        self.sock.sendall(data)
        answer = b""
        while until not in answer:
            chunk = self.sock.recv(4096)
            if not chunk:
                raise SystemExit(f"the server closed the connection after {answer!r}")
            answer += chunk
        return answer

    def _plain(self) -> None:
        secret = base64.b64encode(f"\0user_{self.number}\0password_{self.number}".encode())
        auth = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
        self._say(auth % secret, b"<success")

    def _scram(self, mechanism: str) -> None:
        digest = "sha1" if mechanism == "SCRAM-SHA-1" else "sha256"
        bare = f"n=user_{self.number},r=nonce{self.number}"
        auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>"
        first = base64.b64encode(f"n,,{bare}".encode()).decode()
        answer = self._say(auth.format(mechanism, first).encode(), b"</challenge>")
        found = re.search(rb">([^<]+)</challenge>", answer)
        assert found is not None
        challenge = base64.b64decode(found[1]).decode()
        nonce, salt, rounds = (part[2:] for part in challenge.split(","))
        salted = scram.salted_password(
            digest, f"password_{self.number}", base64.b64decode(salt), int(rounds)
        )
        final = f"c=biws,r={nonce}"
        key = scram.client_key(digest, salted)
        signature = scram.signature(
            digest, scram.stored_key(digest, key), f"{bare},{challenge},{final}".encode()
        )
        proof = base64.b64encode(scram.xor(key, signature)).decode()
        text = base64.b64encode(f"{final},p={proof}".encode()).decode()
        self._say(
            f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</response>".encode(),
            b"<success",
        )

    def count(self) -> None:
        """Read forever, and count messages; a tag may be cut by the end of a chunk."""
        tag = b"</message>"
        rest = b""
        while chunk := self.sock.recv(65536):
            data = rest + chunk
            self.received += data.count(tag)
            # Keep what may be the beginning of another tag, but not a whole one that was counted.
            rest = data[-(len(tag) - 1) :]


def send_paced(clients: list[Client], rate: float, seconds: float) -> tuple[int, float]:
    """Have each user write to the next, evenly spaced; return the count, worst lateness in s."""
    body = b"<body>What a server forwards for a user is about as long as this.</body></message>"
    stanzas = [
        f"<message to='user_{other.number}@localhost/r' type='chat' id='m1234567'>".encode() + body
        for other in clients[1:] + clients[:1]
    ]
    count = int(rate * seconds)
    begin = time.monotonic()
    worst = 0.0
    for slot in range(count):
        due = begin + slot / rate
        now = time.monotonic()
        if due > now:
            gevent.sleep(due - now)
            now = time.monotonic()
        worst = max(worst, now - due)
        index = slot % len(clients)
        clients[index].sock.sendall(stanzas[index])
    return count, worst


def wait_for(clients: list[Client], wanted: int) -> int:
    """Wait until all messages have arrived, or none has for two seconds."""
    received = -1
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        now = sum(client.received for client in clients)
        if now >= wanted or now == received:
            return now
        received = now
        gevent.sleep(2.0 if now < wanted else 0)
    return received


def main() -> int:
    """Run the benchmark and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2000.0, help="messages per second, total")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=200, help="concurrent logins")
    parser.add_argument(
        "--mechanism", choices=["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"], default="PLAIN"
    )
    parser.add_argument("--port", type=int, help="port of a server that is already running")
    parser.add_argument("--pid", type=int, help="process id of that server")
    arguments = parser.parse_args()
    if (arguments.port is None) != (arguments.pid is None):
        parser.error("--port and --pid must be given together")
    connection_limit(arguments.users)
    known = arguments.port is not None
    server = Server(arguments.port, arguments.pid) if known else Embedded(arguments.users)
    try:
        return measure(server, arguments)
    finally:
        server.stop()


def measure(server: Server, arguments: argparse.Namespace) -> int:
    """Log all users in, have them write, and print what it cost the server."""
    users = arguments.users
    idle_rss, cpu, begin = server.rss_bytes(), server.cpu_s(), time.monotonic()
    pool = Pool(arguments.at_once)
    clients = list(
        pool.imap(lambda n: Client(n, server.port, arguments.mechanism), range(1, users + 1))
    )
    login_s, login_cpu = time.monotonic() - begin, server.cpu_s() - cpu
    connected_rss = server.rss_bytes()
    readers = [gevent.spawn(client.count) for client in clients]
    cpu, begin = server.cpu_s(), time.monotonic()
    sent, worst = send_paced(clients, arguments.rate, arguments.seconds)
    send_s = time.monotonic() - begin
    received = wait_for(clients, sent)
    chat_cpu = server.cpu_s() - cpu
    gevent.killall(readers)
    late = worst > LATE_S
    print(f"machine   {platform.machine()}, {os.cpu_count()} cores")
    print(f"python    {platform.python_version()}, gevent {gevent.__version__}")
    print(f"goal      {users} users, {arguments.rate:g} messages/s for {arguments.seconds:g} s")
    print(f"result    {sent / send_s:.0f} messages/s; {sent} sent, {received} received")
    print(f"lateness  at most {worst * 1e3:.1f} ms (this client's, not the server's)")
    if late:
        print("          too late for a verdict on this rate; CPU per message is still valid")
    print(
        f"login     {login_cpu / users * 1e3:.3f} ms of CPU each, {arguments.mechanism},"
        f" {users / login_s:.0f}/s"
    )
    print(f"message   {chat_cpu / max(received, 1) * 1e6:.1f} µs of CPU each")
    print(f"memory    {(connected_rss - idle_rss) / users / 1e3:.1f} kB per connection")
    outcome.figure("CPU per login", login_cpu / users * 1e3, "ms")
    outcome.figure("CPU per message", chat_cpu / max(received, 1) * 1e6, "µs")
    outcome.figure("memory of a connection", (connected_rss - idle_rss) / users / 1e3, "kB")
    if received != sent:
        outcome.failed(f"{sent - received} messages were lost")
    return outcome.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
