"""How amoc calls code of a scenario or a plugin: what it raises is its own failure. Pure.

`SystemExit`, `KeyboardInterrupt`, `gevent.Timeout` and `GreenletExit` are failures like any
`ValueError`: a scenario shares its process with thousands of users, which none of them may end.
Only what amoc itself raises in a greenlet to end it (`Ended`) goes on.

Code that amoc does not call itself, in greenlets that a scenario spawns and in callbacks of the
event loop, is guarded by `amoc.base.loop_guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

leave: Callable[[BaseException | None], NoReturn] | None = None
"""In a process that code of a scenario has forked: ends it where that code returns or raises."""


class Ended(BaseException):
    """Raised by amoc in a greenlet that is to end; code of a scenario must let it through."""

    def is_meant(self) -> bool:
        """Whether amoc has raised it, and not the scenario by itself."""
        return True


def call(
    on_failure: Callable[[BaseException], object], code: Callable[..., T], *arguments: Any
) -> T | None:
    """Call code of a scenario.

    Args:
        on_failure: Given what `code` raises; may raise another error in its place.
        code: The function.
        arguments: Its arguments.

    Returns:
        What `code` returned; None when it failed.

    Raises:
        Ended: The calling greenlet is to end.
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
    """Whether what code of a scenario has raised is to go on; otherwise it has failed.

    For callers that each user keeps on its stack, where `call` is too much.
    """
    if leave is not None:
        leave(error)
    return isinstance(error, Ended) and error.is_meant()
