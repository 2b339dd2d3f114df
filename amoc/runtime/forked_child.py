"""Processes that the scenario's code forks: they are cut off from their worker's run.

Such a process is a copy of the whole worker: its metrics share the worker's cells, and its event
loop has all users, which would act in both processes. So right after the fork amoc is disabled in
the child. Its calls of amoc raise an error that tells what to do instead. Its event loop is a new
one without users. Where its code would return to amoc or to the old loop, the process ends like any
other program. No checks are added where a metric records or a user waits; what these use is
replaced.

A callback of the event loop that amoc has not called must not fork, because it would return to the
loop that has the users.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

import gevent
from gevent import getcurrent
from gevent._hub_local import get_hub_if_exists, set_hub, set_loop
from gevent.exceptions import LoopExit
from gevent.hub import Hub
from greenlet import greenlet

from amoc.base import context, guard, pause
from amoc.metrics import registry
from amoc.runtime import logs


def take_amoc_from_children() -> None:
    """Disable amoc in all processes that this one forks from now on."""
    os.register_at_fork(after_in_child=_take_away)


def _take_away() -> None:
    if guard.leave is not None:
        return  # a child of a child: amoc is already disabled
    guard.leave = _leave
    context.disable()
    pause.clock = context.GONE
    registry.current.disable()
    logs.drop()
    hub = get_hub_if_exists()
    if hub is not None and getcurrent() is not hub:
        _leave_loop(hub)


def _leave_loop(hub: Hub) -> None:
    """Abandon the event loop with all users; the code that has forked continues without it."""
    me = getcurrent()
    if me.parent is None:
        return  # the main greenlet of a thread: it never returns to a loop
    end = greenlet(_end_with, me.parent)
    end.switch(me)
    if isinstance(me, gevent.Greenlet):
        me.unlink_all()  # its waiters are in the worker
    hub.loop.destroy()
    set_loop(None)  # type: ignore[arg-type] # the new hub makes its own
    own = Hub()
    me_ends = _ChildEnd(own.loop)
    own.parent = me_ends.parent = end
    me.parent = me_ends
    set_hub(own)


def _end_with(starter: greenlet) -> NoReturn:
    """Wait for what a raw greenlet of the child raises, or for the end of its loop."""
    error: BaseException | None = None
    try:
        starter.switch()
    except LoopExit:
        pass
    except BaseException as raised:
        error = raised
    _leave(error)


class _ChildEnd(Hub):
    """The parent of gevent's greenlets in the child: ends the process when their code ends."""

    def run(self, *_: object) -> NoReturn:
        """End the process, as the code has returned."""
        _leave(None)

    def handle_error(
        self,
        context: object,  # noqa: ARG002 - gevent's
        type: type[BaseException] | None,
        value: BaseException | str | None,
        tb: TracebackType | None,
    ) -> NoReturn:
        """End the process, as the code has raised an error."""
        error: BaseException = (
            value if isinstance(value, BaseException) else (type or SystemError)(value)
        )
        _leave(error.with_traceback(tb))


def _leave(error: BaseException | None) -> NoReturn:
    """End this process as Python does when a program returns or raises `error`."""
    status = 0 if error is None else 1
    try:
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
            if status == 1 and error.code != 1:
                print(error.code, file=sys.stderr)
        elif error is not None:
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # it may be closed
                stream.flush()
    finally:
        os._exit(status & 0xFF)
