"""Bare sockets, for benchmarks/xmpp.py: the minimum cost of any client in Python.

It logs in, sends prepared messages, and counts the bytes received, on epoll
alone: no XML is read, nothing is measured, no user waits. Its cost is the kernel's share.
"""

from __future__ import annotations

import base64
import gc
import select
import socket
import sys
import time

from benchmarks.xmpp_measured import GRACE_S, TEXT, Pace, Result, arguments, memory_kb

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
END = b"</message>"


class Sockets:
    """Logged-in connections, and what arrived on them."""

    def __init__(self) -> None:
        self.by_fd: dict[int, int] = {}
        self.socks: list[socket.socket] = []
        self.messages: list[bytes] = []
        self.epoll = select.epoll()
        self.sent = self.received = 0
        self.answering = False

    def add(self, number: int, host: str, port: int) -> None:
        """Log one user in."""
        sock = socket.create_connection((host, port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain = base64.b64encode(f"\0user_{number}\0password_{number}".encode())
        for data, until in (
            (HEADER, b"</stream:features>"),
            (
                b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%b</auth>"
                % plain,
                b"<success",
            ),
            (HEADER, b"</stream:features>"),
            (
                b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
                b"</iq>",
            ),
            (b"<presence/>", b"<presence"),
        ):
            sock.sendall(data)
            heard = b""
            while until not in heard:
                more = sock.recv(65536)
                if not more:
                    raise ConnectionError(f"user {number}: the server sent {heard!r}")
                heard += more
        sock.setblocking(False)
        self.by_fd[sock.fileno()] = len(self.socks)
        self.socks.append(sock)
        self.epoll.register(sock.fileno(), select.EPOLLIN)

    def address(self, index: int, other: int) -> None:
        """Prepare the message of one connection to user `other`."""
        head = f"<message to='user_{other}@localhost' type='chat' id='m{index:020}'>"
        self.messages.append(f"{head}<body>{TEXT}</body></message>".encode())

    def write(self, index: int) -> None:
        """Send one message."""
        self.socks[index].send(self.messages[index])
        self.sent += 1

    def turn(self, seconds: float) -> None:
        """Wait for data, and read it."""
        for fd, _ in self.epoll.poll(max(seconds, 0)):
            index = self.by_fd[fd]
            count = self.socks[index].recv(16384).count(END)
            self.received += count
            if self.answering:
                for _ in range(count):
                    self.write(index)


def run() -> int:
    """Log in, send, and print the result."""
    args = arguments()
    result = Result("sockets", wanted=int(args.rate * args.seconds))
    bench = Sockets()
    gc.collect()
    before, cpu = memory_kb(), time.process_time()
    try:
        for number in range(1, args.users + 1):
            bench.add(number, args.host, args.port)
            pair = number + 1 if number % 2 else number - 1
            bench.address(number, number % args.users + 1 if args.rate else pair)
        result.login_ms = (time.process_time() - cpu) / args.users * 1e3
        result.user_kb = (memory_kb() - before) / args.users
        cpu = time.process_time()
        send(bench, args.rate, args.seconds, result)
        end = time.monotonic() + GRACE_S
        while bench.received < bench.sent and time.monotonic() < end:
            bench.turn(0.1)
        result.cpu_us = (time.process_time() - cpu) / max(bench.sent, 1) * 1e6
    except OSError as error:
        result.errors.append(repr(error))
    result.sent, result.received = bench.sent, bench.received
    return result.tell()


def send(bench: Sockets, rate: float, seconds: float, result: Result) -> None:
    """Have each user write to the next, evenly spaced, or pairs answer each other."""
    users = len(bench.socks)
    if rate:
        pace = Pace(rate, seconds)
        for slot in range(pace.count):
            while (left := pace.wait_s(slot)) > 0:
                bench.turn(left)
            bench.write(slot % users)
        result.late_ms = pace.late_s * 1e3
        return
    bench.answering = True
    for index in range(0, users - 1, 2):
        bench.write(index)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bench.turn(0.1)
    bench.answering = False


if __name__ == "__main__":
    sys.exit(run())
