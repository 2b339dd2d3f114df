"""A worker's permits of one throttle, and who gets them next. Pure.

A returned permit goes to the next user of the same worker, up to a time limit, so that users of
other workers are not kept waiting for long; then it goes back to the controller. If no user waits,
it is kept for a moment if the last user came soon: a round trip to the controller would cost more.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from amoc.base.clock import MS_NS

KEEP_PERMIT_NS = 50 * MS_NS
"""How long a permit may pass from user to user of one worker before other workers get it."""
FRESH_PERMIT_NS = 10 * MS_NS
"""How long it may also be kept for a user yet to come. The same in every worker, whether or not
users wait elsewhere, so each worker has the permit for as long."""
IDLE_PERMIT_NS = 5 * MS_NS
"""How long it is kept for a user yet to come; only if the last user came within this time."""


class Permit(NamedTuple):
    """One user's share of a concurrency limit."""

    epoch: int
    since_ns: int
    """When the worker got it."""


class PermitStock:
    """Permits that no user of this worker holds.

    Attributes:
        idle: Permits for users that wait.
        kept: Permits for users yet to come: each with the time until which it is kept.
        back: How many were returned to the controller, ever.
        users_return_soon: Whether the last user came soon after a permit was given back.
    """

    __slots__ = ("_given_back_ns", "back", "idle", "kept", "users_return_soon")

    def __init__(self) -> None:
        self.idle: deque[Permit] = deque()
        self.kept: deque[tuple[int, Permit]] = deque()
        self.back = 0
        self._given_back_ns = 0
        self.users_return_soon = False

    def asked_for(self, at_ns: int) -> None:
        """Record that a user has come while none waited."""
        self.users_return_soon = at_ns - self._given_back_ns < IDLE_PERMIT_NS

    def take_kept(self) -> Permit:
        """Take a kept permit, for a user that has just come."""
        return self.kept.pop()[1]

    def hand_out_kept(self) -> None:
        """Make the kept permits available to waiting users."""
        self.idle.extend(permit for _, permit in self.kept)
        self.kept.clear()

    def take_back(self, permit: Permit, at_ns: int, valid: bool, waited_for: bool) -> None:
        """Take back a user's permit.

        Args:
            permit: The permit.
            at_ns: The time.
            valid: Whether the throttle has not changed since it was dealt.
            waited_for: Whether other users of this worker wait for one.
        """
        self._given_back_ns = at_ns
        age_ns = at_ns - permit.since_ns
        if not valid or age_ns >= KEEP_PERMIT_NS:
            self.back += 1
        elif waited_for:
            self.idle.append(permit)
        elif self.users_return_soon and age_ns < FRESH_PERMIT_NS:
            self.kept.append((at_ns + IDLE_PERMIT_NS, permit))
        else:
            self.back += 1

    def return_idle(self) -> None:
        """Return the permits meant for waiting users: there are none."""
        self.back += len(self.idle)
        self.idle.clear()

    def return_kept(self, at_ns: int) -> None:
        """Return the permits that were kept until `at_ns` or earlier."""
        kept = self.kept
        while kept and kept[0][0] <= at_ns:
            kept.popleft()
            self.back += 1
