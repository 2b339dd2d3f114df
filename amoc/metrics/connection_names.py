"""Names of counters of connections, which clients count and results judge. Pure."""

from __future__ import annotations

from typing import Final

CONNECTIONS: Final = "connections"
"""Connections, or sessions, that were established."""
FAILURES: Final = "connection_failures"
"""Attempts that failed; followed by a dot and a cause: those of that cause."""
CANCELLED: Final = "connections_cancelled"
"""Attempts whose user was asked to stop before they had come to an end."""
CLOSES_UNFINISHED: Final = "closes_unfinished"
"""Connections that were closed without the server's saying that it had read all."""
TLS_UNVERIFIED: Final = "tls_unverified"
"""TLS connections whose server might be anyone: its certificate was not checked."""
