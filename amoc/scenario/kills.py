"""Tells a greenlet's end from a mishap.

Who ends a greenlet throws `GreenletExit` at it, and it arrives where that greenlet waits: in
gevent. Code of a scenario can raise the same by itself, which ends nothing that it may end.
"""

from __future__ import annotations

from pathlib import PurePath

from greenlet import GreenletExit

__all__ = ["is_kill"]


def is_kill(error: BaseException) -> bool:
    """Whether `error` was thrown at the calling greenlet to end it, and must go on its way."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, GreenletExit):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return "gevent" in PurePath(trace.tb_frame.f_code.co_filename).parts
