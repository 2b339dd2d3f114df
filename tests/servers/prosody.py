"""prosody for tests: one process on loopback, configured in a directory of its own.

    with Prosody(directory, accounts=200) as server:
        ...  # server.address, server.domain; user_1 / password_1 and so on can log in

Ports lie below 32768, where no outgoing connection can take them between our look and prosody's.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.servers.daemon import DIES_WITH_US, await_listening, required

DEADLINE_S = 20.0
PORTS = range(20_000, 32_000)
DOMAIN = "localhost"
ANONYMOUS = "anonymous.localhost"
TLS_ONLY = "tls.localhost"

_CONFIG = """
run_as_root = true
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}"
log = {{ warn = "{directory}/prosody.log" }}
network_backend = "epoll"
network_settings = {{ tcp_backlog = 4096 }}
limits = {{}}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
modules_enabled = {{
    "roster", "saslauth", "tls", "disco", "ping", "register", "presence", "message", "iq"
}}
modules_disabled = {{ "s2s" }}
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
allow_registration = true
authentication = "internal_plain"

VirtualHost "{domain}"
VirtualHost "{anonymous}"
    authentication = "anonymous"
VirtualHost "{tls_only}"
    c2s_require_encryption = true
    ssl = {{ key = "{directory}/tls.key", certificate = "{directory}/tls.crt" }}
"""


def available() -> bool:
    """Whether prosody is installed; skips the calling test if not, or fails where it must be."""
    if not shutil.which("prosody"):
        required("prosody is not installed (apt install prosody)")
    return True


def free_port() -> int:
    """A loopback port that nobody listens on, out of reach of outgoing connections."""
    candidates = random.SystemRandom().sample(PORTS, 200)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"none of {len(candidates)} ports is free")


class Prosody:
    """A running prosody.

    Attributes:
        address: Where clients connect to, ``host:port``.
        domain: Its domain, in which the accounts are.
        pid: Its process.
    """

    domain = DOMAIN

    def __init__(self, directory: Path, accounts: int = 0) -> None:
        """Start it in `directory`, with accounts ``user_1`` / ``password_1`` up to `accounts`."""
        self._directory = directory
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._write_accounts(accounts)
        self._write_certificate()
        config = directory / "prosody.cfg.lua"
        config.write_text(
            _CONFIG.format(
                directory=directory,
                port=self.port,
                domain=DOMAIN,
                anonymous=ANONYMOUS,
                tls_only=TLS_ONLY,
            )
        )
        with (directory / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, "prosody", "--config", str(config), "-F"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid
        try:
            await_listening(self._process, self.port, DEADLINE_S, self.said)
        except BaseException:
            self.stop()
            raise

    def said(self) -> str:
        """Its output and log so far."""
        files = (self._directory / name for name in ("output.log", "prosody.log"))
        return "\n".join(file.read_text() for file in files if file.exists())

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()

    def _write_accounts(self, count: int) -> None:
        accounts = self._directory / "data" / DOMAIN / "accounts"
        accounts.mkdir(parents=True)
        for number in range(1, count + 1):
            file = accounts / f"user%5f{number}.dat"
            file.write_text(f'return {{ ["password"] = "password_{number}"; }};\n')

    def _write_certificate(self) -> None:
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={TLS_ONLY}",
                "-keyout", str(self._directory / "tls.key"),
                "-out", str(self._directory / "tls.crt"),
            ],
            check=True,
            capture_output=True,
            timeout=DEADLINE_S,
        )  # fmt: skip
