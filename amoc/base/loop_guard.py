"""What fails in an event loop without amoc having called it: spawned greenlets, callbacks, timers.

By itself gevent ends the process of a `SystemExit` there, and only prints everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from gevent import get_hub
from gevent.exceptions import HubDestroyed
from greenlet import GreenletExit

from amoc.base.guard import Ended


class Killed(Ended, GreenletExit):
    """Ends a greenlet wherever it stands."""


def guard_loop(on_failure: Callable[[object, BaseException], object]) -> Callable[[], None]:
    """Let greenlets and callbacks of this process's event loop fail without ending the process.

    A greenlet of gevent's that is killed, or raises `GreenletExit`, has ended and not failed: that
    is gevent's rule, and not heard of here.

    Args:
        on_failure: Given what has failed, a greenlet or a watcher, and what it raised; must not
            raise.

    Returns:
        What takes this back.
    """
    hub: Any = get_hub()
    handle_by_default = type(hub).handle_error

    def handle_error(
        context: object,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if context is None or issubclass(kind, HubDestroyed):
            handle_by_default(hub, context, kind, error, trace)
        else:
            error = error if isinstance(error, BaseException) else kind()
            on_failure(context, error.with_traceback(trace))

    def unguard() -> None:
        hub.__dict__.pop("handle_error", None)

    hub.handle_error = handle_error
    return unguard
