"""Names of the counters of connections, which clients increment and results evaluate. Pure."""

from __future__ import annotations

from typing import Final

CONNECTIONS: Final = "connections"
"""Connections, or sessions, that were established."""
FAILURES: Final = "connection_failures"
"""Attempts that failed; with a dot and a cause appended, those with that cause."""
CANCELLED: Final = "connections_cancelled"
"""Attempts that had not completed when their user was asked to stop."""
CLOSES_UNFINISHED: Final = "closes_unfinished"
"""Connections closed without confirmation that the server had read everything."""
TLS_UNVERIFIED: Final = "tls_unverified"
"""TLS connections whose certificate was not checked, so the server might be anyone."""
