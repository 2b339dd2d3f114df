"""Calls of code of a scenario or plugin, in which any exception is a failure of that code. Pure.

`SystemExit`, `KeyboardInterrupt`, `gevent.Timeout` and `GreenletExit` are failures like any
`ValueError`: thousands of users share a process, which none of them may end. Only the exceptions
that amoc raises to end a greenlet (`Ended`) propagate.

Code not called by amoc, in greenlets spawned by a scenario and in callbacks of the event loop, is
guarded by `amoc.base.loop_guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

leave: Callable[[BaseException | None], NoReturn] | None = None
"""In a process forked by scenario code: ends the process once that code returns or raises."""


class Ended(BaseException):
    """Raised by amoc to end a greenlet; scenario code must let it propagate."""

    def is_intended(self) -> bool:
        """Return whether amoc raised it, rather than the scenario."""
        return True


def call(
    on_failure: Callable[[BaseException], object], code: Callable[[*Ts], T], *arguments: *Ts
) -> T | None:
    """Call code of a scenario.

    Args:
        on_failure: Called with an exception from `code`; may raise another one instead.
        code: The function.
        arguments: Its arguments.

    Returns:
        The result of `code`; None if it failed.

    Raises:
        Ended: The calling greenlet must end.
    """
    try:
        result = code(*arguments)
    except BaseException as error:
        if is_end(error):
            raise
        on_failure(error)
        return None
    if leave is not None:
        leave(None)
    return result


def is_end(error: BaseException) -> bool:
    """Return whether an exception from scenario code must propagate; otherwise it is a failure.

    For callers on the stack of each user, where a frame for `call` would cost too much memory.
    """
    if leave is not None:
        leave(error)
    return isinstance(error, Ended) and error.is_intended()
