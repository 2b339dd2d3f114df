"""What the server is told when it starts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from amoc.service.run_cluster import THIS_HOST, RunCluster
from amoc.service.tokens import Tokens

PORT = 4000
MAX_UPLOAD = 16 << 20


@dataclass(frozen=True)
class ServiceConfig:
    """How the server serves.

    Attributes:
        runs: Where runs keep their directories.
        scenarios: Where the operator keeps scenarios; the server only reads there.
        uploads: Where uploaded scenarios go.
        host: The address to listen on.
        port: The port; 0 lets the system choose one.
        parallel: How many runs may run side by side.
        keep: How many runs that are over are kept; the oldest are deleted. None means all.
        keep_days: For how many days; None means without end.
        upload: Whether scenarios may be uploaded.
        max_upload: Of how many bytes.
        tokens: Who may do what; None means that everybody who can connect may do everything.
        names: Further names under which clients reach this host.
        cert: The certificate for TLS, in PEM; None means plain HTTP.
        key: Its private key.
        cluster: Where runs have their nodes.
    """

    runs: Path
    scenarios: Path
    uploads: Path
    host: str = "127.0.0.1"
    port: int = PORT
    parallel: int = 1
    keep: int | None = None
    keep_days: float | None = None
    upload: bool = True
    max_upload: int = MAX_UPLOAD
    tokens: Tokens | None = None
    names: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    cluster: RunCluster = THIS_HOST

    @property
    def is_local(self) -> bool:
        """Whether only this host can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is one of this host alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
