"""What an XMPP user costs: CPU per login, memory while logged in, CPU per message both ways.

The users are amoc's own (`amoc.user.User`) and do what a scenario does: `xmpp.connect`, presence,
and then `receive` in a loop, while messages are sent for them at a steady rate. They live in this
process alone and only it is charged; the server, amoc's embedded one unless --server names another,
is another process. Its lateness comes first: when messages were sent late, the rate was not what
was wanted.

    python benchmarks/xmpp_client.py [--users 1000] [--rate 5000] [--seconds 5]
        [--mechanism SCRAM-SHA-256] [--server 127.0.0.1:5222 --domain localhost]
"""

# ruff: noqa: E402 - the process is patched before the rest is imported, as in a worker
from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from amoc.runtime.supervisor import monkey_patch

monkey_patch.patch()

import gevent
from gevent import get_hub
from machine import describe

from amoc import xmpp
from amoc.scenario import settings
from amoc.scenario.resolving import resolve
from amoc.users.user import User

PAGE = os.sysconf("SC_PAGE_SIZE")
DEADLINE_S = 120.0
WANTED = {"login_ms": 1.0, "user_kb": 35.0, "message_us": 60.0}


class Pool:
    """All that a user needs of its pool, and what went wrong."""

    def __init__(self, most: int, start) -> None:
        self.states = memoryview(bytearray(most + 1))
        self.seed = 1
        self.repeat_num = 1.0
        self.repeat_interval_s = 0.0
        self.crash_pause_s = 0.1
        self.run_once = start
        self.errors: list[BaseException] = []
        self.gone = 0

    def crashed(self, _user: User, error: BaseException) -> None:
        """Keep what a user raised."""
        self.errors.append(error)

    def iteration_ended(self, _user: User) -> None:
        """Nothing is held that could be taken back."""

    def left(self, _user: User) -> None:
        """Count a user that is gone."""
        self.gone += 1


class Bench:
    """Users that log in, and receive until they are told to stop."""

    def __init__(self, users: int, mechanism: str) -> None:
        self.mechanism = mechanism
        self.clients: dict[int, xmpp.Client] = {}
        self.received = 0
        self.stopping = False
        self.pool = Pool(users, self.start)

    def start(self, user_id: int) -> None:
        """Log in, and receive until told to stop."""
        with xmpp.connect(user_id, mechanism=self.mechanism or None) as client:
            client.send_presence()
            client.receive(xmpp.is_presence, timeout=DEADLINE_S)
            self.clients[user_id] = client
            while client.receive(xmpp.is_chat).body != "stop":
                self.received += 1


def start_server(users: int) -> tuple[subprocess.Popen[str], str]:
    """The embedded server in a process of its own, and its address."""
    code = f"from amoc.xmppd import serve;serve(port=0, connections={users}, lifeline=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"(127\.0\.0\.1:\d+),", process.stdout.readline())
    if found is None:
        raise SystemExit("the embedded server did not start")
    return process, found[1]


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def wait_for(condition, what: str, bench: Bench) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if bench.pool.errors:
            raise SystemExit(f"a user crashed: {bench.pool.errors[0]!r}")
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {DEADLINE_S:g} s: {what}")
        gevent.sleep(0.02)


def log_in(bench: Bench, users: int, at_once: int) -> tuple[float, float]:
    """Log all users in, so many at a time; CPU seconds and seconds it took."""
    begin, cpu = time.monotonic(), time.process_time()
    for user_id in range(1, users + 1):
        wait_for(lambda goal=user_id - at_once: len(bench.clients) >= goal, "logins", bench)
        get_hub().loop.run_callback(User(user_id, bench.pool).switch)
    wait_for(lambda: len(bench.clients) == users, "all logins", bench)
    return time.process_time() - cpu, time.monotonic() - begin


def send_paced(bench: Bench, rate: float, seconds: float) -> tuple[int, float]:
    """Each user writes to the next, evenly spaced; how many, and the worst lateness in seconds.

    With nobody logged in nothing is sent: that is what keeping the pace costs by itself.
    """
    users = len(bench.clients)
    count = int(rate * seconds)
    begin = time.monotonic()
    worst = 0.0
    for slot in range(count):
        due = begin + slot / rate
        now = time.monotonic()
        if due > now:
            gevent.sleep(due - now)
            now = time.monotonic()
        elif slot % 50 == 0:
            gevent.sleep(0)  # late, but users must be let through
        worst = max(worst, now - due)
        if users:
            sender = slot % users + 1
            bench.clients[sender].send_chat(sender % users + 1, "As long as a word among friends")
    return count, worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5000.0, help="messages per second, in all")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=50, help="logins that go on at a time")
    parser.add_argument("--mechanism", default="", help="default: what the settings say")
    parser.add_argument("--server", help="host:port; default: the embedded one")
    parser.add_argument("--domain", default="localhost")
    args = parser.parse_args()
    server, address = (None, args.server) if args.server else start_server(args.users)
    declared = settings.declared()
    given = settings.Source(
        "benchmark", {"xmpp_servers": address, "xmpp_domain": args.domain}, strict=True
    )
    settings.apply(resolve(declared, [given]))
    print(describe())
    try:
        return measure(args)
    finally:
        if server is not None:
            server.stdin.close()
            server.wait(10)


def measure(args: argparse.Namespace) -> int:
    bench = Bench(args.users, args.mechanism)
    # One user first: what is made once for all is not a user's.
    warm = Bench(1, args.mechanism)
    log_in(warm, 1, 1)
    warm.clients[1].send_chat(1, "stop")
    wait_for(lambda: warm.pool.gone == 1, "the first user to leave", warm)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    before = rss_bytes()
    cpu, took = log_in(bench, args.users, args.at_once)
    gc.collect()
    memory = (rss_bytes() - before) / args.users
    done, mean_ms = args.users, cpu / args.users * 1e3
    print(f"logins: wanted {args.users}, done {done} in {took:.2f} s, {args.at_once} at a time")
    cpu = time.process_time()
    slots, _ = send_paced(Bench(0, ""), args.rate, 1.0)
    pace_us = (time.process_time() - cpu) / slots * 1e6
    cpu = time.process_time()
    sent, worst = send_paced(bench, args.rate, args.seconds)
    begin = time.monotonic()
    wait_for(lambda: bench.received >= sent or time.monotonic() > begin + 5, "messages", bench)
    cpu = time.process_time() - cpu
    print(
        f"messages: wanted {args.rate:g}/s for {args.seconds:g} s, sent {sent}, received"
        f" {bench.received}; own lateness {worst * 1e3:.1f} ms at the worst"
    )
    message_us = cpu / sent * 1e6
    figures = {"login_ms": mean_ms, "user_kb": memory / 1024, "message_us": message_us - pace_us}
    for name, text in (
        ("login_ms", "CPU per login, ms"),
        ("user_kb", "memory per user, kB"),
        ("message_us", "CPU per message sent and received, µs"),
    ):
        verdict = "ok" if figures[name] <= WANTED[name] else "MISSED"
        print(f"{text:40} {figures[name]:8.2f}   at most {WANTED[name]:g} wanted: {verdict}")
    print(f"    ({message_us:.2f} µs with the {pace_us:.2f} µs that keeping the pace takes us)")
    for client in list(bench.clients.values()):
        client.send_chat(client.bare_jid, "stop")
    wait_for(lambda: bench.pool.gone == args.users, "all users to leave", bench)
    if bench.received != sent:
        print(f"{sent - bench.received} messages were lost")
        return 1
    if worst > 0.1:
        print("no verdict on the rate: messages were sent more than 100 ms late")
    return 0


if __name__ == "__main__":
    sys.exit(main())
