"""Requests are steps (`amoc.steps.recorder`): what is recorded of each, under its name.

One is timed from its sending to its result. It fails with the condition of the error that answers
it, such as ``item-not-found``; with ``timeout`` where no answer came in time; and with ``stream
ended`` where its stream ended before an answer came. A condition that RFC 6120 does not define is
the peer's invention and counts as ``undefined-condition``.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from greenlet import GreenletExit

from amoc.base.waiting import AnyWaiter, wait
from amoc.steps import recorder
from amoc.xmpp.wire.condition import STANZA_CONDITIONS, UNDEFINED

UNNAMED: Final = "iq"
"""What requests without a name count as."""
TIMEOUT: Final = "timeout"
STREAM_ENDED: Final = "stream ended"


def answered(name: str, ns: int, condition: str | None, message: str = "") -> None:
    """Count an answer that came after `ns`; `condition` is that of an error."""
    if condition is not None and condition not in STANZA_CONDITIONS:
        message, condition = f"{condition}: {message}", UNDEFINED
    recorder.record(name, ns, cause=condition, message=message)


def wait_counted(waiter: AnyWaiter, seconds: float, name: str) -> bool:
    """Wait for an answer and count under `name` that none came; whether one came.

    Without a name, nothing is counted. Nor is it when the user is asked to stop or killed.
    """
    begin_ns = monotonic_ns()
    try:
        came = wait(waiter, seconds)
    except GreenletExit:
        raise
    except BaseException as error:
        if name:
            ns = monotonic_ns() - begin_ns
            recorder.record(name, 0, cause=STREAM_ENDED, message=str(error), failed_ns=ns)
        raise
    if not came and name:
        late = f"no answer within {seconds:g} s"
        ns = monotonic_ns() - begin_ns
        recorder.record(name, 0, cause=TIMEOUT, message=late, failed_ns=ns)
    return came
