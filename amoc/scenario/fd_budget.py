"""How many file descriptors a run needs of its host, checked before the first user. Pure."""

from __future__ import annotations

from math import ceil

from amoc.base.errors import ResourceError

RESERVED_FDS = 100
"""Descriptors a worker needs for itself: its line to the node, logs, libraries, a few to spare."""

_per_user: dict[str, int] = {}


def needs_fds(module: str, per_user: int) -> None:
    """Declare, while `module` is imported, that each user holds `per_user` descriptors by it."""
    _per_user[module] = per_user


def fds_per_user() -> int:
    """Descriptors that each user holds, through all modules that were imported."""
    return sum(_per_user.values())


def check_fds(users: int, processes: int, per_user: int, limit: int, what: str = "worker") -> None:
    """Refuse what cannot work for want of file descriptors.

    Args:
        users: How many users there will be.
        processes: Over how many processes they are spread.
        per_user: Descriptors that each holds.
        limit: How many a process may have, its hard limit.
        what: The kind of process, for the message.

    Raises:
        ResourceError: It names how many are needed and how to get them.
    """
    needed = ceil(users / processes) * per_user + RESERVED_FDS
    if per_user and needed > limit:
        fit = max(0, limit - RESERVED_FDS) // per_user * processes
        raise ResourceError(
            f"{users} users on {processes} {what}{'s' * (processes > 1)} need {needed} file"
            f" descriptors in each, but the limit is {limit} (enough for {fit} users);"
            f" raise it with 'ulimit -Hn {needed}' (or LimitNOFILE= in systemd, nofile in"
            " /etc/security/limits.conf)" + (", or use more --workers" if what == "worker" else "")
        )
