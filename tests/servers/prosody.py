"""prosody for tests: one process on loopback, with its configuration in a directory.

with Prosody(directory, accounts=200) as server:
    ...  # server.address, server.domain; user_1 / password_1 and so on can log in
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import DEADLINE_S, XmppServer, free_ports, required

TLS_ONLY = "tls.localhost"
TLS_1_2 = "old.localhost"
RESUMABLE = ", options = { no_ticket = false }"

_CONFIG = """
run_as_root = true
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}"
log = {{ warn = "*console" }}
network_backend = "epoll"
network_settings = {{ tcp_backlog = 4096 }}
limits = {{}}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct} }}
{direct_ssl}
s2s_ports = {{}}
http_ports = {{ {http} }}
http_external_url = "http://127.0.0.1:{http}/"
https_ports = {{}}
component_ports = {{ {components} }}
modules_enabled = {{
    "roster", "saslauth", {tls}"disco", "ping", "register", "presence", "message", "iq",
    "websocket", "bosh", "smacks"{modules}
}}
modules_disabled = {{ "s2s" }}
storage = {{ archive = "memory"; default = "internal" }}
smacks_hibernation_time = {resume_s}
consider_websocket_secure = true
consider_bosh_secure = true
http_default_host = "{domain}"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
allow_registration = true
authentication = "internal_plain"

VirtualHost "{domain}"
{ssl}VirtualHost "{anonymous}"
    authentication = "anonymous"
{services}
{tls_hosts}
VirtualHost "{tls_only}"
    modules_enabled = {{ "tls" }}
    c2s_require_encryption = true
    ssl = {{ key = "{directory}/tls.key", certificate = "{directory}/tls.crt" }}
"""
_MODULES = """,
    "mam", "pep", "vcard_legacy", "private", "carbons", "csi_simple", "blocklist", "offline"
"""
_SERVICES = """
Component "conference.{domain}" "muc"
    modules_enabled = {{ "muc_mam" }}
Component "pubsub.{domain}" "pubsub"
    admins = {{ {admins} }}
Component "upload.{domain}" "http_file_share"
    http_host = "127.0.0.1"
Component "{component}"
    component_secret = "{component_secret}"
"""


class Prosody(XmppServer):
    """A running prosody."""

    websocket_path = "/xmpp-websocket"
    bosh_path = "/http-bind"

    @staticmethod
    def available() -> None:
        """Skip the calling test if prosody is not installed, or fail it if it is required."""
        if not shutil.which("prosody"):
            required("prosody is not installed (apt install prosody)")

    def __init__(
        self,
        directory: Path,
        accounts: int = 0,
        services: bool = False,
        certificates: ServerCertificates | None = None,
        resume_s: int = 300,
    ) -> None:
        """Start it in `directory`, with accounts ``user_1`` / ``password_1`` up to `accounts`.

        With `services` it has rooms, archives, nodes and so on, which take time and change how
        messages are handled. With `certificates` it offers TLS. A lost session can be resumed for
        `resume_s`.
        """
        self.accounts = accounts
        port, self.http_port, self.component_port, self.direct_tls_port = free_ports(4)
        _write_accounts(directory / "data" / self.domain / "accounts", accounts)
        if certificates:
            _write_accounts(directory / "data" / TLS_1_2.replace(".", "%2e") / "accounts", accounts)
        _write_certificate(directory)
        config = directory / "prosody.cfg.lua"
        # Only admins may create nodes.
        admins = ", ".join(f'"user_{one}@{self.domain}"' for one in range(1, accounts + 1))
        offered = _SERVICES.format(
            domain=self.domain,
            admins=admins,
            component=self.component,
            component_secret=self.component_secret,
        )
        config.write_text(
            _CONFIG.format(
                directory=directory,
                port=port,
                direct=self.direct_tls_port if certificates else "",
                direct_ssl="c2s_direct_tls_" + _ssl(certificates.valid).strip()
                if certificates
                else "",
                # Without a certificate it would still offer STARTTLS, which would fail.
                tls='"tls", ' if certificates else "",
                ssl=_ssl(certificates.valid, RESUMABLE) if certificates else "",
                tls_hosts=_tls_hosts(certificates) if certificates else "",
                http=self.http_port,
                components=self.component_port,
                modules=_MODULES if services else "",
                resume_s=resume_s,
                services=offered if services else "",
                domain=self.domain,
                anonymous=self.anonymous,
                tls_only=TLS_ONLY,
            )
        )
        command = ["prosody", "--config", str(config), "-F"]
        ports = (self.http_port, self.component_port) if services else (self.http_port,)
        super().__init__(command, port, directory / "prosody.log", {}, *ports)


def _ssl(file: str, more: str = "") -> str:
    return f'    ssl = {{ key = "{file}", certificate = "{file}"{more} }}\n'


def _direct_ssl(file: str) -> str:
    return "c2s_direct_tls_" + _ssl(file).strip()


def _tls_hosts(certificates: ServerCertificates) -> str:
    anonymous = '    authentication = "anonymous"\n'
    hosts = (
        ("expired.localhost", anonymous + _ssl(certificates.expired)),
        ("misnamed.localhost", anonymous + _ssl(certificates.misnamed)),
        (TLS_1_2, _ssl(certificates.valid, ', protocol = "tlsv1_2"')),
    )
    return "".join(f'VirtualHost "{name}"\n{rest}' for name, rest in hosts)


def _write_accounts(directory: Path, count: int) -> None:
    directory.mkdir(parents=True)
    for number in range(1, count + 1):
        file = directory / f"user%5f{number}.dat"
        file.write_text(f'return {{ ["password"] = "password_{number}"; }};\n')


def _write_certificate(directory: Path) -> None:
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={TLS_ONLY}",
            "-keyout", str(directory / "tls.key"),
            "-out", str(directory / "tls.crt"),
        ],
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )  # fmt: skip
