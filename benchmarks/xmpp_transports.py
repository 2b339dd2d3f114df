"""What a message costs amoc over each transport, alternating against the same server.

The users of benchmarks/xmpp_amoc.py log in over TCP, WebSocket and BOSH; only their own process is
charged. The embedded server does not support BOSH; prosody supports all three.

Exits with 1 when a user raised or a message was lost.

    python -m benchmarks.xmpp_transports [--users 200] [--rate 1000] [--seconds 10]
        [--server embedded|prosody]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import outcome
from benchmarks.machine import describe
from benchmarks.xmpp import embedded
from benchmarks.xmpp_measured import DEADLINE_S, MARK, Result

ROOT = Path(__file__).resolve().parent.parent
SHORT = ["--users", "4", "--rate", "40", "--seconds", "0.5"]
LATE_MS = 100.0


@contextmanager
def embedded_addresses(users: int) -> Iterator[dict[str, str]]:
    """Yield the embedded server's addresses, by transport."""
    with embedded(users) as (host, port):
        yield {"tcp": f"{host}:{port}", "websocket": f"ws://{host}:{port}/"}


@contextmanager
def prosody_addresses(users: int) -> Iterator[dict[str, str]]:
    """Yield the addresses of prosody, as the tests start it, by transport."""
    from tests.servers.prosody import Prosody

    with tempfile.TemporaryDirectory() as directory, Prosody(Path(directory), users) as server:
        yield {"tcp": server.address, "websocket": server.websocket, "bosh": server.bosh}


def run(transport: str, address: str, args: argparse.Namespace) -> Result:
    """Run amoc's users over one transport."""
    command = [sys.executable, "-m", "benchmarks.xmpp_amoc", "--host=-", "--port=0"]
    command += ["--set", f"xmpp_servers={address}"]
    for name in ("users", "rate", "seconds"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=False,  # its errors are in its output
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE_S + args.seconds,
    )
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            result = Result(**json.loads(line.removeprefix(MARK)))
            result.name = transport
            return result
    return Result(transport, errors=[f"exit code {done.returncode}: {done.stderr[-2000:]}"])


def show(results: list[Result]) -> None:
    """Print the results."""
    print(
        f"{'':10}{'goal':>8}{'sent':>8}{'received':>10}{'late, ms':>10}"
        f"{'CPU, µs/message':>19}{'ratio':>7}{'CPU, ms/login':>17}{'kB/user':>11}"
    )
    tcp = results[0].cpu_us - results[0].pace_us
    for one in results:
        net = one.cpu_us - one.pace_us
        outcome.figure(f"{one.name}, CPU per message", net, "µs")
        outcome.figure(f"{one.name}, CPU per login", one.login_ms, "ms")
        outcome.figure(f"{one.name}, memory of a user", one.user_kb, "kB")
        print(
            f"{one.name:10}{one.wanted:>8}{one.sent:>8}{one.received or 0:>10}"
            f"{one.late_ms or 0:>10.1f}{net:>19.1f}{net / tcp if tcp else 0:>7.2f}"
            f"{one.login_ms:>17.2f}{one.user_kb:>11.1f}"
        )
    for one in results:
        if (one.late_ms or 0) > LATE_MS:
            print(f"{one.name}: no verdict on the rate, sent {one.late_ms:.0f} ms late")
        lost = one.sent - (one.received or 0)
        for error in [*one.errors, *([f"{lost} messages were lost"] if lost > 0 else [])]:
            outcome.failed(f"{one.name}: {error}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages per second, total")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--server", choices=("embedded", "prosody"), default="embedded")
    args = parser.parse_args()
    print(describe())
    addresses_of = embedded_addresses if args.server == "embedded" else prosody_addresses
    with addresses_of(args.users) as addresses:
        results = [run(name, address, args) for name, address in addresses.items()]
    print(f"server: {args.server}; keeping the pace is not counted")
    show(results)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
