"""What a message costs amoc, stock slixmpp and Tsung, alternating against the same server.

Each logs the same users in, and each user writes to the next at a steady rate (--rate 0: pairs of
users answer each other as fast as they can, without Tsung, which cannot). Only a contender's own
processes are charged; the server is another process. "sockets" is the kernel's share alone:
epoll and prepared messages, without reading XML. The requested and the achieved rate come first: a
contender that fell behind has not carried the load.

Exits with 1 when a user of any contender raised or a message was lost.

    python -m benchmarks.xmpp [--users 500] [--rate 1000] [--seconds 10]
        [--server embedded|prosody|HOST:PORT] [--only amoc,slixmpp,tsung,sockets]

A server of your own must know user_1 / password_1 and so on at the domain localhost, and offer
PLAIN without TLS.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import outcome
from benchmarks.machine import describe
from benchmarks.xmpp_measured import DEADLINE_S, MARK, Result

ROOT = Path(__file__).resolve().parent.parent
SHORT = ["--users", "4", "--rate", "40", "--seconds", "0.5", "--only", "amoc,slixmpp,sockets"]
CONTENDERS = ("amoc", "slixmpp", "tsung", "sockets")
AIMS_US = {1000.0: 40.0, 0.0: 20.0}
"""amoc's goal per message, by rate; 0 is saturated."""
LATE_MS = 100.0


@contextmanager
def embedded(connections: int) -> Iterator[tuple[str, int]]:
    """Run the embedded server in a separate process; yield its address."""
    code = f"from amoc.xmppd import serve;serve(port=0, connections={connections}, lifeline=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        found = re.search(r"127\.0\.0\.1:(\d+),", process.stdout.readline())
        if found is None:
            raise SystemExit("the embedded server did not start")
        yield "127.0.0.1", int(found[1])
        process.stdin.close()


@contextmanager
def prosody(accounts: int) -> Iterator[tuple[str, int]]:
    """Run prosody, as the tests start it; yield its address."""
    from tests.servers.prosody import Prosody

    with tempfile.TemporaryDirectory() as directory, Prosody(Path(directory), accounts) as server:
        host, port = server.address.rsplit(":", 1)
        yield host, int(port)


@contextmanager
def known(address: str) -> Iterator[tuple[str, int]]:
    """Use a server that is already running."""
    host, _, port = address.rpartition(":")
    yield host, int(port)


def missing(name: str, rate: float) -> str:
    """Return why a contender cannot take part; empty if it can."""
    if name == "tsung" and not shutil.which("tsung"):
        return "tsung is not installed (apt install tsung)"
    if name == "tsung" and not rate:
        return "Tsung has no users that answer each other"
    return ""


def run(name: str, address: tuple[str, int], args: argparse.Namespace) -> Result:
    """Run one contender; return its result."""
    command = [sys.executable, "-m", f"benchmarks.xmpp_{name}"]
    for option, value in (
        ("host", address[0]),
        ("port", address[1]),
        ("users", args.users),
        ("rate", args.rate),
        ("seconds", args.seconds),
    ):
        command += [f"--{option}", str(value)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            check=False,  # its errors are in its output
            capture_output=True,
            text=True,
            timeout=4 * DEADLINE_S + args.seconds,
        )
    except subprocess.TimeoutExpired:
        return Result(name, errors=["it did not end"])
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return Result(**json.loads(line.removeprefix(MARK)))
    return Result(name, errors=[f"exit code {done.returncode}: {done.stderr[-2000:]}"])


def show(results: list[Result], args: argparse.Namespace) -> None:
    """Print the results."""
    wanted = f"{args.rate:g} messages/s" if args.rate else "as many messages as they can"
    print(f"goal: {args.users} users, {wanted} for {args.seconds:g} s\n")
    print(
        f"{'':10}{'goal':>9}{'sent':>9}{'received':>10}{'late, ms':>10}{'CPU, µs/message':>19}"
        f"{'ratio':>8}{'CPU, ms/login':>17}{'kB/user':>11}"
    )
    amoc = next((one for one in results if one.name == "amoc"), None)
    for one in results:
        outcome.figure(f"{one.name}, CPU per message", one.cpu_us, "µs")
        outcome.figure(f"{one.name}, CPU per login", one.login_ms, "ms")
        outcome.figure(f"{one.name}, memory of a user", one.user_kb, "kB")
        ratio = f"{one.cpu_us / amoc.cpu_us:.2f}" if amoc is not None and amoc.cpu_us else "-"
        received = "unknown" if one.received is None else str(one.received)
        late = "unknown" if one.late_ms is None else f"{one.late_ms:.1f}"
        print(
            f"{one.name:10}{one.wanted or '-':>9}{one.sent:>9}{received:>10}{late:>10}"
            f"{one.cpu_us:>19.1f}{ratio:>8}{one.login_ms:>17.2f}{one.user_kb:>11.1f}"
        )
    print()
    for one in results:
        if one.pace_us:
            print(
                f"{one.name}: {one.pace_us:.1f} µs of it for keeping the pace with nothing to send"
            )
        if one.late_ms is not None and one.late_ms > LATE_MS:
            print(
                f"{one.name}: no verdict on the rate, messages were sent {one.late_ms:.0f} ms late"
            )
        if one.received is not None and one.received < one.sent:
            outcome.failed(f"{one.name}: {one.sent - one.received} messages were lost")
        for error in one.errors:
            outcome.failed(f"{one.name}: {error}")
    aim = AIMS_US.get(args.rate)
    if aim is not None and amoc is not None and not amoc.errors:
        net = amoc.cpu_us - amoc.pace_us
        outcome.figure("amoc, CPU per message without keeping the pace", net, "µs")
        print(f"amoc: {net:.1f} µs without keeping the pace, goal: at most {aim:g}")
        if net > aim:
            outcome.missed(f"{net:.1f} µs per message, goal: at most {aim:g}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages per second, total")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--server", default="embedded", help="embedded, prosody, or HOST:PORT")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="separated by commas")
    args = parser.parse_args()
    names = args.only.split(",")
    if unknown := sorted(set(names) - set(CONTENDERS)):
        parser.error(f"--only must name some of {', '.join(CONTENDERS)}, got {', '.join(unknown)}")
    if args.users < 2 or args.users % 2:
        parser.error(f"--users must be an even number of at least 2, got {args.users}")
    server = {"embedded": embedded, "prosody": prosody}.get(args.server)
    results = []
    print(describe())
    with server(args.users) if server else known(args.server) as address:
        print(f"server: {args.server} at {address[0]}:{address[1]}")
        for name in names:
            reason = missing(name, args.rate)
            if reason:
                print(f"{name}: left out, {reason}")
            else:
                results.append(run(name, address, args))
    show(results, args)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
