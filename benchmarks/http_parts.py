"""Where the CPU time of a request goes: from bare sockets up to amoc.http, part by part.

Each step adds one thing to the previous one, with as many connections to one nginx, in this
process:

- sockets: `select.epoll`, recv, and send of a prepared request;
- loop: callbacks of gevent's loop instead of epoll;
- users: a greenlet for each connection, which the callback switches to;
- parser: httptools reads the answer; status, head and body are kept;
- request: the request is assembled;
- figures: the three clock readings, three timers and eight counters of a request with its step;
- amoc: `amoc.http`, a step with a check: pools, time limits, cookies, redirects, compression, and
  a user that can be stopped, paused and killed at any moment.

    python -m benchmarks.http_parts [--users 50] [--seconds 2] [--rounds 3]

All steps take turns in each round, and the medians of the rounds count. "user" is the process's
own code, "sys" the kernel's.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import gevent
import httptools
from gevent import get_hub, getcurrent

from amoc import http, metrics
from amoc.base.tcp import Socket, connected_socket
from amoc.metrics import together
from benchmarks import machine, outcome
from benchmarks.http.server import nginx

SHORT = ["--users", "5", "--seconds", "0.2", "--rounds", "1"]
NEEDS = ["nginx"]
NAMES = ("sockets", "loop", "users", "parser", "request", "figures", "amoc")
PARSER, REQUEST, FIGURES = map(NAMES.index, ("parser", "request", "figures"))
LINES = "Host: 127.0.0.1\r\nUser-Agent: amoc\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
READ_BYTES = 16 << 10
WARM_S = 0.3


class Cost(NamedTuple):
    """CPU time per request, in microseconds."""

    user: float
    sys: float


class Count:
    """Number of answered requests, and when to stop."""

    answered = 0
    stopped = False


def request(number: int) -> bytes:
    """Return one request's bytes."""
    return f"GET /item/{number % 100} HTTP/1.1\r\n{LINES}\r\n".encode("latin-1")


def on_epoll(port: int, users: int, count: Count) -> None:
    """Run sockets alone; return when stopped."""
    by_fd: dict[int, Socket] = {}
    data = request(7)
    with select.epoll() as poll:
        for _ in range(users):
            sock = connected_socket(socket.AF_INET, ("127.0.0.1", port), None, 5.0)
            by_fd[sock.fileno()] = sock
            poll.register(sock.fileno(), select.EPOLLIN)
            sock.send(data)
        while not count.stopped:
            for fd, _ in poll.poll(1.0):
                sock = by_fd[fd]
                sock.recv(READ_BYTES)
                sock.send(data)
                count.answered += 1
    for sock in by_fd.values():
        sock.close()


def on_loop(port: int, count: Count) -> None:
    """One connection without its own greenlet."""
    sock = connected_socket(socket.AF_INET, ("127.0.0.1", port), None, 5.0)
    watcher = get_hub().loop.io(sock.fileno(), 1)
    data = request(7)

    def readable() -> None:
        sock.recv(READ_BYTES)
        if count.stopped:
            watcher.stop()
            watcher.close()
            sock.close()
            return
        sock.send(data)
        count.answered += 1

    watcher.start(readable)
    sock.send(data)


class Answer:
    """Receives the parser's callbacks."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self.status = 0
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self.status = self.parser.get_status_code()


def in_greenlet(port: int, count: Count, level: int) -> None:
    """Run one user; how much it does depends on the level."""
    sock = connected_socket(socket.AF_INET, ("127.0.0.1", port), None, 5.0)
    hub, me = get_hub(), getcurrent()
    watcher = hub.loop.io(sock.fileno(), 1)
    watcher.start(lambda: me.switch(sock.recv(READ_BYTES)))
    answer = Answer()
    parses, builds, records = level >= PARSER, level >= REQUEST, level >= FIGURES
    names = ("count", "all", "2xx", "reused", "received", "sent", "bytes", "all bytes")
    once = tuple(metrics.counter(f"{name} of parts") for name in names[:4])
    received, sent, size, all_size = (metrics.counter(f"{name} of parts") for name in names[4:])
    whole = tuple(metrics.timer(f"{name} of parts") for name in ("step", "every step"))
    first = (metrics.timer("first byte of parts"),)
    data, clock, number, begin_ns, sent_ns = request(7), time.monotonic_ns, 0, 0, 0
    while not count.stopped:
        if records:
            begin_ns = clock()
        if builds:
            number += 1
            data = request(number)
        if records:
            sent_ns = clock()
        sock.send(data)
        raw = hub.switch()
        if parses:
            answer.parser.feed_data(raw)
            head, body = raw[: raw.find(b"\r\n\r\n")], b"".join(answer.parts)
            answer.parts.clear()
            if answer.status != 200 or not head:
                raise ValueError(answer.status)
            if records:
                end_ns = clock()
                together.record(
                    once[2:], ((received, len(raw)), (sent, len(data))), first, end_ns - sent_ns
                )
                amounts = ((size, len(body)), (all_size, len(body)))
                together.record(once[:2], amounts, whole, end_ns - begin_ns)
        count.answered += 1
    watcher.stop()
    watcher.close()
    sock.close()


def with_amoc(port: int, count: Count) -> None:
    """Run a user of `amoc.http`, like that of `benchmarks.http`."""
    number = 0
    with http.session(f"http://127.0.0.1:{port}", timeout=30) as session:
        while not count.stopped:
            number += 1
            answer = session.get(f"/item/{number % 100}", name="GET /item/[id]")
            answer.check(status=200)
            if not answer.ok:
                raise ValueError(answer.cause)
            count.answered += 1


def begin(level: int, port: int, users: int, count: Count) -> Callable[[], object]:
    """Start a step; return a function that waits for its end."""
    if NAMES[level] == "loop":
        for _ in range(users):
            on_loop(port, count)
        return lambda: gevent.sleep(0.05)
    greenlets: list[gevent.Greenlet[..., None]]
    if NAMES[level] == "amoc":
        greenlets = [gevent.spawn(with_amoc, port, count) for _ in range(users)]
    else:
        greenlets = [gevent.spawn(in_greenlet, port, count, level) for _ in range(users)]
    return lambda: gevent.joinall(greenlets, raise_error=True)


def cost(level: int, port: int, users: int, seconds: float) -> Cost:
    """Measure one step, once."""
    count = Count()
    before: list[tuple[int, os.times_result]] = []

    def look() -> None:
        before.append((count.answered, os.times()))

    if NAMES[level] == "sockets":
        # There is no loop that could stop it, so another thread does; it takes almost no CPU.
        def watch() -> None:
            for pause in (WARM_S, seconds):
                time.sleep(pause)
                look()
            count.stopped = True

        watching = threading.Thread(target=watch)
        watching.start()
        on_epoll(port, users, count)
        watching.join()
    else:
        end = begin(level, port, users, count)
        for pause in (WARM_S, seconds):
            gevent.sleep(pause)
            look()
        count.stopped = True
        end()
    (first, then), (last, now) = before
    scale = 1e6 / max(last - first, 1)
    return Cost((now.user - then.user) * scale, (now.system - then.system) * scale)


def main() -> int:
    """Print all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    results: list[list[Cost]] = [[] for _ in NAMES]
    with nginx() as web:
        port = int(web.url.rpartition(":")[2])
        for _ in range(options.rounds):
            for level, costs in enumerate(results):
                costs.append(cost(level, port, options.users, options.seconds))
    print(f"{'µs of CPU per request':<22}{'all':>8}{'more':>8}{'user':>8}{'sys':>8}{'spread':>14}")
    before = 0.0
    for name, costs in zip(NAMES, results, strict=True):
        totals = [one.user + one.sys for one in costs]
        whole = statistics.median(totals)
        user, kernel = (statistics.median(part) for part in zip(*costs, strict=True))
        spread = f"{min(totals):.1f}-{max(totals):.1f}"
        print(
            f"  {name:<20}{whole:>8.1f}{whole - before:>8.1f}{user:>8.1f}{kernel:>8.1f}{spread:>14}"
        )
        outcome.figure(f"{name}: CPU a request", whole, "µs")
        before = whole
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
