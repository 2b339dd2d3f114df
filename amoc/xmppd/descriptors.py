"""File descriptors: each connection needs one, and their number per process is limited."""

from __future__ import annotations

from typing import Final

from amoc.base import process
from amoc.base.errors import ResourceError

RESERVE: Final = 64
"""Descriptors for everything that is not a client: standard streams, the loop, the listener."""


def connection_limit(wanted: int) -> int:
    """Raise the soft limit to the hard limit; return how many connections then fit.

    Args:
        wanted: How many connections must be possible at once.

    Raises:
        ResourceError: They do not fit; the message says how to raise the limit.
    """
    limit = process.raise_fd_limit()
    if limit - RESERVE < wanted:
        raise ResourceError(
            f"{wanted} connections need {wanted + RESERVE} file descriptors, but the limit is"
            f" {limit}; raise it with 'ulimit -Hn {wanted + RESERVE}' (or LimitNOFILE= in systemd,"
            " nofile in /etc/security/limits.conf)"
        )
    return limit - RESERVE
