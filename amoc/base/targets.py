"""The servers that users of this worker connect to, for the head of the results."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from amoc.base import context

MAX_TARGETS = 10
"""Most servers that a run names."""


class Targets:
    """The part of a worker that reports each server once.

    Args:
        report: Called with its address.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._seen: set[Hashable] = set()

    def take(self, address: Hashable) -> None:
        """Report `address`, whose text names the server, unless it was reported before."""
        if address not in self._seen and len(self._seen) < MAX_TARGETS:
            self._seen.add(address)
            self._report(str(address))


def note(address: Hashable) -> None:
    """Note that a user connects to the server at `address`; without effect outside a worker."""
    targets = context.find(Targets)
    if targets is not None:
        targets.take(address)
