"""Failures in the event loop outside calls by amoc: spawned greenlets, callbacks, timers.

By default gevent ends the process on a `SystemExit` there, and merely prints other exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from gevent import get_hub
from gevent.exceptions import HubDestroyed
from greenlet import GreenletExit

from amoc.base.guard import Ended


class Killed(Ended, GreenletExit):
    """Raised in a greenlet to end it wherever it is."""


def guard_loop(on_failure: Callable[[object, BaseException], object]) -> Callable[[], None]:
    """Keep failures of greenlets and callbacks in this event loop from ending the process.

    By gevent's rule, a gevent greenlet that is killed or raises `GreenletExit` has not failed; it
    is not reported.

    Args:
        on_failure: Called with the failed greenlet or watcher and its exception; must not raise.

    Returns:
        A function that undoes this.
    """
    hub = get_hub()
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

    hub.__dict__["handle_error"] = handle_error
    return unguard
