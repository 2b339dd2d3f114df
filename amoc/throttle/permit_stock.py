"""The permits that a worker has of one throttle, and who gets them next. Pure.

A permit that a user gives back goes to the next user of the same worker, for as long as others may
be made to wait by that; then it goes back to the controller. Where no user waits it is kept for a
moment if the last one came soon: a round trip to the controller would cost more.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.base.clock import MS_NS

KEEP_PERMIT_NS = 50 * MS_NS
"""How long a permit may go from user to user of one worker before others have their chance."""
FRESH_PERMIT_NS = 10 * MS_NS
"""How long it may go to the next user that comes where none waits. It is the same in each worker,
whether others wait elsewhere or not, so each has its turn for as long."""
IDLE_PERMIT_NS = 5 * MS_NS
"""How long it is kept for the next user that comes; not at all where the last one came later."""


class Permit(NamedTuple):
    """Permission to be one of those that pass at the same time."""

    epoch: int
    since_ns: int
    """When the worker got it."""


class PermitStock:
    """Permits that no user of this worker holds.

    Attributes:
        idle: For users that wait.
        kept: For the next user that comes: until when, and the permit.
        back: How many were given back to the controller, ever.
        come_soon: Whether the last user came soon after a permit was given back.
    """

    __slots__ = ("_given_back_ns", "back", "come_soon", "idle", "kept")

    def __init__(self) -> None:
        self.idle: deque[Permit] = deque()
        self.kept: deque[tuple[int, Permit]] = deque()
        self.back = 0
        self._given_back_ns = 0
        self.come_soon = False

    def asked_for(self, at_ns: int) -> None:
        """A user has come while none waited."""
        self.come_soon = at_ns - self._given_back_ns < IDLE_PERMIT_NS

    def take_kept(self) -> Permit:
        """A permit for the user that has come."""
        return self.kept.pop()[1]

    def hand_out_kept(self) -> None:
        """Those that were kept are for users that wait."""
        self.idle.extend(permit for _, permit in self.kept)
        self.kept.clear()

    def take_back(self, permit: Permit, at_ns: int, valid: bool, waited_for: bool) -> None:
        """A user is done with `permit`.

        Args:
            permit: What it held.
            at_ns: The time.
            valid: Whether there was no change of the throttle since.
            waited_for: Whether other users of this worker wait for one.
        """
        self._given_back_ns = at_ns
        age_ns = at_ns - permit.since_ns
        if not valid or age_ns >= KEEP_PERMIT_NS:
            self.back += 1
        elif waited_for:
            self.idle.append(permit)
        elif self.come_soon and age_ns < FRESH_PERMIT_NS:
            self.kept.append((at_ns + IDLE_PERMIT_NS, permit))
        else:
            self.back += 1

    def return_idle(self) -> None:
        """Give back those that are for users that wait: there is none."""
        self.back += len(self.idle)
        self.idle.clear()

    def return_kept(self, at_ns: int) -> None:
        """Give back those that were kept until `at_ns` at the longest."""
        kept = self.kept
        while kept and kept[0][0] <= at_ns:
            kept.popleft()
            self.back += 1
