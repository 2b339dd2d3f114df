"""What TLS costs amoc's users, relative to plain TCP: CPU per handshake and message, and memory.

The same users log in to the embedded server and write to each other: plain, over direct TLS with a
full handshake for each, and with sessions resumed (TLS 1.3). The server has an RSA certificate of
2,048 bits and is another process; only the users' process is charged. The requested and the
achieved rate come first: users that fell behind have not carried the load.

Exits with 1 when a user raised, a message was lost, or a goal was missed.

    python -m benchmarks.xmpp_tls [--users 500] [--rate 1000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import outcome
from benchmarks.machine import describe
from benchmarks.xmpp_measured import DEADLINE_S, MARK, Result

ROOT = Path(__file__).resolve().parent.parent
SHORT = ["--users", "4", "--rate", "40", "--seconds", "0.5"]
MAX_HANDSHAKE_MS = 0.8
MAX_USER_KB = 32.0
MAX_RATIO = 1.4
LATE_MS = 100.0
ONLY_TLS_1_2 = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
MaxProtocol = TLSv1.2
"""


def write_certificate(file: Path) -> None:
    """Make a self-signed RSA certificate for localhost, with its key."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    file.write_bytes(certificate.public_bytes(pem) + private)


@contextmanager
def server(certificate: Path, connections: int) -> Iterator[int]:
    """Run the embedded server in a separate process; yield its port."""
    code = (
        "from amoc.xmppd import serve;"
        f"serve(port=0, connections={connections}, lifeline=True, tls=True,"
        f" tls_certificate={str(certificate)!r})"
    )
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
        yield int(found[1])
        process.stdin.close()


def run(
    name: str,
    port: int,
    settings: dict[str, str],
    args: argparse.Namespace,
    openssl_conf: Path | None = None,
) -> Result:
    """Run the users with some settings; return their result."""
    command = [sys.executable, "-m", "benchmarks.xmpp_amoc", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--users", str(args.users), "--rate", str(args.rate)]
    command += ["--seconds", str(args.seconds)]
    for setting, value in settings.items():
        command += ["--set", f"{setting}={value}"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=False,  # its errors are in its output
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE_S + args.seconds,
        env={**os.environ, **({"OPENSSL_CONF": str(openssl_conf)} if openssl_conf else {})},
    )
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            result = Result(**json.loads(line.removeprefix(MARK)))
            result.name = name
            return result
    return Result(name, errors=[f"exit code {done.returncode}: {done.stderr[-2000:]}"])


def show(results: list[Result]) -> None:
    """Print the results."""
    plain = results[0]
    print(
        f"{'':12}{'goal':>8}{'sent':>8}{'received':>10}{'late, ms':>10}{'CPU, ms/login':>17}"
        f"{'more than plain':>17}{'kB/user':>11}{'CPU, µs/message':>19}{'ratio':>7}"
    )
    for one in results:
        net = one.cpu_us - one.pace_us
        more = one.login_ms - plain.login_ms
        outcome.figure(f"{one.name}, CPU per message", net, "µs")
        outcome.figure(f"{one.name}, CPU per login", one.login_ms, "ms")
        outcome.figure(f"{one.name}, memory of a user", one.user_kb, "kB")
        print(
            f"{one.name:12}{one.wanted:>8}{one.sent:>8}{one.received or 0:>10}"
            f"{one.late_ms or 0.0:>10.1f}{one.login_ms:>17.2f}{more:>17.2f}"
            f"{one.user_kb:>11.1f}{net:>19.1f}{net / (plain.cpu_us - plain.pace_us or 1):>7.2f}"
        )
        problems = list(one.errors)
        if (one.received or 0) < one.sent or one.sent < one.wanted:
            problems.append(f"{one.wanted} requested, {one.sent} sent, {one.received} arrived")
        for problem in problems:
            outcome.failed(f"{one.name}: {problem}")
        if (one.late_ms or 0.0) > LATE_MS:
            print(f"{one.name}: no verdict on the rate, messages were {one.late_ms:.0f} ms late")


def met(plain: Result, tls: Result) -> None:
    """Print the goals."""
    ratio = (tls.cpu_us - tls.pace_us) / (plain.cpu_us - plain.pace_us or 1)
    print(f"{tls.name}:")
    for text, found, most in (
        ("CPU per full handshake, ms", tls.login_ms - plain.login_ms, MAX_HANDSHAKE_MS),
        ("memory per user, kB", tls.user_kb, MAX_USER_KB),
        ("CPU per message, times plain", ratio, MAX_RATIO),
    ):
        print(f"{text:32}{found:8.2f}   goal: at most {most:g}")
        if found > most:
            outcome.missed(f"{tls.name}: {text}")


def main() -> int:
    """Run all variants, one after another."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages per second, total")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    print(describe())
    print(f"goal: {args.users} users, {args.rate:g} messages/s for {args.seconds:g} s\n")
    with tempfile.TemporaryDirectory() as directory:
        certificate = Path(directory) / "server.pem"
        write_certificate(certificate)
        openssl_conf = Path(directory) / "openssl.cnf"
        openssl_conf.write_text(ONLY_TLS_1_2)
        tls = {"xmpp_tls": "direct", "xmpp_tls_ca": str(certificate)}
        with server(certificate, args.users) as port:
            results = [
                run("plain", port, {}, args),
                run("TLS 1.3", port, tls, args),
                run("TLS 1.2", port, tls, args, openssl_conf),
                run("resumed", port, {**tls, "xmpp_tls_resumption": "true"}, args),
            ]
    show(results)
    print()
    for one in results[1:3]:
        met(results[0], one)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
