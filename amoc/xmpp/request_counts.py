"""Recording of requests as steps (`amoc.steps.recorder`), under their names.

A request is timed from when it is sent to its result. It fails with the condition of an error
answer, such as ``item-not-found``; with ``timeout`` if no answer arrived in time; and with ``stream
ended`` if its stream ended before an answer arrived. A condition that RFC 6120 does not define
counts as ``undefined-condition``.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from greenlet import GreenletExit

from amoc.base.waiting import AnyWaiter, wait
from amoc.steps import recorder
from amoc.xmpp.wire.condition import STANZA_CONDITIONS, UNDEFINED

UNNAMED: Final = "iq"
"""Name of the step for requests without a name."""
TIMEOUT: Final = "timeout"
STREAM_ENDED: Final = "stream ended"


def answered(name: str, ns: int, condition: str | None, message: str = "") -> None:
    """Count an answer that arrived after `ns`; `condition` is the one in an error answer."""
    if condition is not None and condition not in STANZA_CONDITIONS:
        message, condition = f"{condition}: {message}", UNDEFINED
    recorder.record(name, ns, cause=condition, message=message)


def wait_counted(waiter: AnyWaiter, seconds: float, name: str) -> bool:
    """Wait for an answer, and count under `name` if none arrives; return whether one arrived.

    Without a name, nothing is counted; nor is it when the user is asked to stop or killed.
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
