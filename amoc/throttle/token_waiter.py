"""Waiters at a throttle in a worker: a user's `Waiter`, or a function to call."""

from __future__ import annotations

from collections.abc import Callable

from gevent import getcurrent

from amoc.base.errors import AmocError
from amoc.base.waiting import Waiter

Token = int | AmocError
"""The intended time in ns, or the error for which the throttle lets no user pass any more."""


class OnToken(Waiter[Token]):
    """Calls a function with the token, once."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[Token], object]) -> None:
        super().__init__()
        self._call = call

    def give(self, value: Token) -> None:
        """Let it pass, or report that the throttle was stopped."""
        if not self.done:
            self.done = True
            self._call(value)


class OnEveryToken(OnToken):
    """Calls a function with each token; may be in a queue more than once."""

    __slots__ = ()

    def give(self, value: Token) -> None:
        """Let one pass, or report that the throttle was stopped."""
        self._call(value)


def user_of(waiter: Waiter[Token]) -> int | None:
    """Return the number of the user that waits or is about to; None if it is not a user."""
    if isinstance(waiter, OnToken):
        return None
    user_id = getattr(waiter.greenlet or getcurrent(), "id", None)
    return user_id if isinstance(user_id, int) else None
