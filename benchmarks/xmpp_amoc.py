"""amoc's XMPP users for benchmarks/xmpp.py: the users of a scenario, in this process.

Each connects, sends its presence, and receives in a loop, as a scenario's start() does.
"""

# ruff: noqa: E402 - the process is patched before the rest is imported, as in a worker
from __future__ import annotations

import gc
import sys
import time

from amoc.runtime.supervisor import monkey_patch

monkey_patch.patch()

import gevent
from gevent import get_hub

from amoc import xmpp
from amoc.base import collector
from amoc.scenario import settings
from amoc.scenario.resolving import resolve
from amoc.users.user import User
from benchmarks.xmpp_measured import (
    DEADLINE_S,
    GRACE_S,
    TEXT,
    Deadline,
    Pace,
    Result,
    arguments,
    memory_kb,
)

AT_ONCE = 50


class Pool:
    """The parts of a pool that a user needs, and the errors raised by users."""

    def __init__(self, most: int, start) -> None:
        self.states = memoryview(bytearray(most + 1))
        self.seed = 1
        self.repeat_num = 1.0
        self.repeat_interval_s = 0.0
        self.crash_pause_s = 0.0
        self.wait_turn = None
        self.run_once = start
        self.errors: list[BaseException] = []
        self.gone = 0

    def crashed(self, _user: User, error: BaseException) -> None:
        """Record an error raised by a user."""
        self.errors.append(error)

    def iteration_ended(self, _user: User) -> None:
        """Do nothing: no slots are held that could be returned."""

    def left(self, _user: User) -> None:
        """Count a user that has left."""
        self.gone += 1

    def turn_away(self, _user_id: int) -> None:
        """Do nothing: all users are wanted."""


class Bench:
    """Users that log in, and receive until they are asked to stop."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.clients: dict[int, xmpp.Client] = {}
        self.sent = self.received = 0
        self.answering = False
        self.pool = Pool(users, self.start)

    def start(self, user_id: int) -> None:
        """Log in, and receive until asked to stop."""
        with xmpp.connect(user_id, mechanism="PLAIN") as client:
            client.send_presence()
            client.receive(xmpp.is_presence, timeout=DEADLINE_S)
            self.clients[user_id] = client
            while client.receive(xmpp.is_chat, timeout=DEADLINE_S).body != "stop":
                self.received += 1
                if self.answering:
                    self.write(user_id, self.neighbour(user_id))

    def neighbour(self, user_id: int) -> int:
        """Return the other user of a pair."""
        return user_id + 1 if user_id % 2 else user_id - 1

    def write(self, sender: int, to: int) -> None:
        """Send one message."""
        self.clients[sender].send_chat(to, TEXT)
        self.sent += 1

    def wait_for(self, condition, what: str) -> None:
        """Wait for a condition; end when a user has crashed."""
        deadline = Deadline(what)
        while not condition() and not self.pool.errors:
            deadline.check()
            gevent.sleep(0.02)

    def log_in(self) -> float:
        """Log all users in; return CPU seconds."""
        cpu = time.process_time()
        for user_id in range(1, self.users + 1):
            self.wait_for(lambda goal=user_id - AT_ONCE: len(self.clients) >= goal, "logins")
            get_hub().loop.run_callback(User(user_id, self.pool).switch)
        self.wait_for(lambda: len(self.clients) == self.users, "all logins")
        return time.process_time() - cpu

    def log_out(self) -> None:
        """Ask all users to stop, and wait for them."""
        for client in list(self.clients.values()):
            if client.is_open:
                client.send_chat(client.bare_jid, "stop")
        self.wait_for(lambda: self.pool.gone == self.users, "all users to leave")


def send_paced(bench: Bench, rate: float, seconds: float) -> Pace:
    """Have each user write to the next, evenly spaced; without users only keep the pace."""
    pace = Pace(rate, seconds)
    for slot in range(pace.count):
        left = pace.wait_s(slot)
        if left > 0:
            gevent.sleep(left)
            pace.wait_s(slot)
        elif slot % 50 == 0:
            gevent.sleep(0)  # late, but the users must run
        if bench.users:
            sender = slot % bench.users + 1
            bench.write(sender, sender % bench.users + 1)
    return pace


def send_all(bench: Bench, seconds: float) -> None:
    """Have pairs of users answer each other as fast as they can."""
    bench.answering = True
    for user_id in range(1, bench.users, 2):
        bench.write(user_id, user_id + 1)
    gevent.sleep(seconds)
    bench.answering = False


def main() -> int:
    args = arguments()
    values = {"xmpp_servers": f"{args.host}:{args.port}", "xmpp_tls": "off"}
    values.update(one.split("=", 1) for one in args.set)
    given = settings.Source("benchmark", values, strict=True)
    settings.apply(resolve(settings.declared(), [given]))
    warm = Bench(1)  # objects that are made once for all users are not charged to them
    warm.log_in()
    warm.log_out()
    gc.collect()
    gc.freeze()
    collector.collect_rarely()
    bench, before = Bench(args.users), memory_kb()
    result = Result("amoc", wanted=int(args.rate * args.seconds))
    if warm.pool.errors:
        result.errors = [repr(error) for error in warm.pool.errors]
        return result.tell()
    result.login_ms = bench.log_in() / args.users * 1e3
    gc.collect()
    result.user_kb = (memory_kb() - before) / args.users
    if args.rate:
        cpu = time.process_time()
        pace = send_paced(Bench(0), args.rate, 1.0)
        result.pace_us = (time.process_time() - cpu) / pace.count * 1e6
    cpu = time.process_time()
    try:
        if args.rate:
            result.late_ms = send_paced(bench, args.rate, args.seconds).late_s * 1e3
        else:
            send_all(bench, args.seconds)
    except xmpp.XmppError as error:
        result.errors.append(repr(error))
    end = time.monotonic() + GRACE_S
    bench.wait_for(lambda: bench.received >= bench.sent or time.monotonic() > end, "messages")
    cpu = time.process_time() - cpu
    result.sent, result.received = bench.sent, bench.received
    result.cpu_us = cpu / max(bench.sent, 1) * 1e6
    bench.log_out()
    result.errors += [repr(error) for error in [*warm.pool.errors, *bench.pool.errors]]
    return result.tell()


if __name__ == "__main__":
    sys.exit(main())
