"""File descriptors: each connection needs one, and a process may have only so many."""

from __future__ import annotations

import resource
from typing import Final

from amoc.base.errors import ResourceError

RESERVE: Final = 64
"""Descriptors for everything that is not a client: standard streams, the loop, the listener."""


def connection_limit(wanted: int) -> int:
    """Raises the soft limit to the hard one; returns how many connections fit then.

    Args:
        wanted: How many connections must be possible at once.

    Raises:
        ResourceError: They do not fit; the message says how to raise the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass  # a system-wide limit may be lower than the hard one; the soft one may be enough
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    if soft - RESERVE < wanted:
        raise ResourceError(
            f"{wanted} connections need {wanted + RESERVE} file descriptors, got a limit of"
            f" {soft} (hard limit {hard}; raise it with: ulimit -Hn {wanted + RESERVE}, or"
            " LimitNOFILE= of its service, or /etc/security/limits.conf)"
        )
    return soft - RESERVE
