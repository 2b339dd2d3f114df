"""Configuration of the server. Pure."""

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
    """The configuration of a server.

    Attributes:
        runs: Directory for the directories of runs.
        scenarios: Directory of the operator's scenarios, which the server never writes to.
        uploads: Directory for uploaded scenarios.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        parallel: Maximum number of runs at the same time.
        keep: Number of ended runs to keep, newest first; None for all.
        keep_days: Maximum age of ended runs in days; None for no limit.
        upload: Whether scenarios may be uploaded.
        max_upload: Maximum size of an upload in bytes.
        tokens: Valid tokens; None allows everything to everyone who can connect.
        names: Additional names by which clients reach this host.
        cert: TLS certificate (PEM); None for plain HTTP.
        key: Private key of `cert`.
        cluster: Nodes of runs.
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
    """Return whether a host name or address is a loopback one."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
