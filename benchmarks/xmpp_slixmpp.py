"""Stock slixmpp for benchmarks/xmpp.py: its clients on asyncio's loop, one SSL context for all.

Otherwise each client would make its own SSL context, which takes 35 to 75 ms of CPU and 0.9 MB.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import sys
import time

import slixmpp

from benchmarks.xmpp_measured import GRACE_S, TEXT, Deadline, Pace, Result, arguments, memory_kb

AT_ONCE = 50


class Bench:
    """Clients, and their counts."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.context = ssl.create_default_context()
        self.ready = self.gone = self.sent = self.received = 0
        self.answering = False
        self.errors: list[str] = []

    async def wait_for(self, condition, what: str) -> None:
        """Wait for a condition; end when a client has failed."""
        deadline = Deadline(what)
        while not condition() and not self.errors:
            deadline.check()
            await asyncio.sleep(0.02)

    async def log_in(self, users: int, host: str, port: int) -> float:
        """Log all users in; return CPU seconds."""
        cpu = time.process_time()
        for number in range(1, users + 1):
            await self.wait_for(lambda goal=number - AT_ONCE: self.ready >= goal, "logins")
            client = Client(number, self)
            self.clients.append(client)
            client.connect(host, port)
        await self.wait_for(lambda: self.ready == users, "all logins")
        return time.process_time() - cpu

    async def log_out(self) -> None:
        """Disconnect all."""
        await asyncio.gather(*(client.disconnect() for client in self.clients))


class Client(slixmpp.ClientXMPP):
    """Logs in, counts received messages, and answers them on request."""

    def __init__(self, number: int, bench: Bench) -> None:
        super().__init__(
            f"user_{number}@localhost/bench",
            f"password_{number}",
            sasl_mech="PLAIN",
            ssl_context=bench.context,
            plugin_config={"feature_mechanisms": {"unencrypted_plain": True}},
        )
        self.bench = bench
        self.enable_plaintext = True
        self.enable_starttls = self.enable_direct_tls = False
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("message", self.take)
        for event in ("failed_all_auth", "connection_failed", "stream_error"):
            self.add_event_handler(event, lambda what, event=event: self.fail(event, what))

    def fail(self, event: str, what: object) -> None:
        """Record an error."""
        self.bench.errors.append(f"{event}: {what!r}")

    def exception(self, exception: BaseException) -> None:
        """Record an error raised by a handler."""
        self.fail("exception", exception)

    def begin(self, _event: object) -> None:
        """The session has started."""
        self.send_presence()
        self.bench.ready += 1

    def take(self, message: slixmpp.Message) -> None:
        """A message has arrived."""
        self.bench.received += 1
        if self.bench.answering:
            self.write(message["from"].bare)

    def write(self, to: str) -> None:
        """Send one message."""
        self.send_message(mto=to, mbody=TEXT, mtype="chat")  # type: ignore[arg-type]  # text will do
        self.bench.sent += 1


async def send_paced(bench: Bench, rate: float, seconds: float) -> Pace:
    """Have each user write to the next, evenly spaced; without users only keep the pace."""
    pace = Pace(rate, seconds)
    users = len(bench.clients)
    for slot in range(pace.count):
        left = pace.wait_s(slot)
        if left > 0:
            await asyncio.sleep(left)
            pace.wait_s(slot)
        elif slot % 50 == 0:
            await asyncio.sleep(0)
        if users:
            bench.clients[slot % users].write(f"user_{(slot + 1) % users + 1}@localhost")
    return pace


async def run() -> int:
    """Log in, send, and print the result."""
    args = arguments()
    bench = Bench()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: bench.errors.append(str(context.get("exception") or context["message"]))
    )
    warm = Bench()
    await warm.log_in(1, args.host, args.port)
    if not warm.errors:
        await warm.log_out()
    gc.collect()
    before = memory_kb()
    result = Result("slixmpp", wanted=int(args.rate * args.seconds), errors=warm.errors)
    if warm.errors:
        return result.tell()
    result.login_ms = await bench.log_in(args.users, args.host, args.port) / args.users * 1e3
    gc.collect()
    result.user_kb = (memory_kb() - before) / args.users
    if args.rate:
        cpu = time.process_time()
        pace = await send_paced(Bench(), args.rate, 1.0)
        result.pace_us = (time.process_time() - cpu) / pace.count * 1e6
    cpu = time.process_time()
    if args.rate:
        pace = await send_paced(bench, args.rate, args.seconds)
        result.late_ms = pace.late_s * 1e3
    else:
        bench.answering = True
        for number in range(0, args.users - 1, 2):
            bench.clients[number].write(f"user_{number + 2}@localhost")
        await asyncio.sleep(args.seconds)
        bench.answering = False
    end = time.monotonic() + GRACE_S
    await bench.wait_for(lambda: bench.received >= bench.sent or time.monotonic() > end, "messages")
    result.cpu_us = (time.process_time() - cpu) / max(bench.sent, 1) * 1e6
    result.sent, result.received = bench.sent, bench.received
    await bench.log_out()
    result.errors = bench.errors
    return result.tell()


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
