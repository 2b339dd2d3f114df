"""Tells a killed greenlet from an error.

Killing a greenlet throws `GreenletExit` into it, which arrives where that greenlet waits: in
gevent. A scenario's code can raise the same by itself, which must not end its caller.
"""

from __future__ import annotations

from pathlib import PurePath

from greenlet import GreenletExit

__all__ = ["is_kill"]


def is_kill(error: BaseException) -> bool:
    """Whether `error` was thrown into the calling greenlet to end it, and must propagate."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, GreenletExit):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return "gevent" in PurePath(trace.tb_frame.f_code.co_filename).parts
