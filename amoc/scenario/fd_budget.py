"""The file descriptors needed by a run, checked before the first user starts. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from amoc.base.errors import ResourceError

RESERVED_FDS = 100
"""Descriptors needed by a worker itself: link to the node, logs, libraries, spare ones."""

LEAST_FDS = 64
"""A limit below which amoc's own processes cannot work."""

_ELSEWHERE = " (or LimitNOFILE= in systemd, nofile in /etc/security/limits.conf)"

declared: dict[str, int | Callable[[], int]] = {}


def needs_fds(module: str, per_user: int | Callable[[], int]) -> None:
    """Declare, during the import of `module`, how many descriptors it needs per user.

    Args:
        module: The module's name.
        per_user: The number, or a function that returns it once settings are resolved.
    """
    declared[module] = per_user


def fds_per_user() -> int:
    """Return the number of descriptors per user for all imported modules."""
    return sum(one if isinstance(one, int) else one() for one in declared.values())


def check_limit(limit: int) -> None:
    """Check that amoc's own processes can work with the limit of each.

    Raises:
        ResourceError: They cannot.
    """
    if limit < LEAST_FDS:
        raise ResourceError(
            f"amoc needs a limit of at least {LEAST_FDS} file descriptors, but it is {limit};"
            f" raise it with 'ulimit -Hn {LEAST_FDS}'{_ELSEWHERE}"
        )


def check_fds(users: int, processes: int, per_user: int, limit: int, what: str = "worker") -> None:
    """Check that there are enough file descriptors.

    Args:
        users: The number of users.
        processes: The number of processes that share them.
        per_user: Descriptors per user.
        limit: The hard limit of each process.
        what: The kind of process, for the message.

    Raises:
        ResourceError: There are too few; the message says how many are needed and how to get them.
    """
    needed = ceil(users / processes) * per_user + RESERVED_FDS
    if per_user and needed > limit:
        fit = max(0, limit - RESERVED_FDS) // per_user * processes
        raise ResourceError(
            f"{users} users on {processes} {what}{'s' * (processes > 1)} need {needed} file"
            f" descriptors in each, but the limit is {limit} (enough for {fit} users);"
            f" raise it with 'ulimit -Hn {needed}'{_ELSEWHERE}"
            + (", or use more --workers" if what == "worker" else "")
        )
