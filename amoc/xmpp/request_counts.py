"""How requests ended: what is counted and timed of each name, and of all requests together.

    NAME                     timer: from an iq to its result
    NAME.result              counter: answers of type result, as many as the timer has samples
    NAME.error               counter: answers of type error
    NAME.error.CONDITION     counter: those with that condition, such as ``item-not-found``
    NAME.timeout             counter: no answer came in time
    NAME.unanswered          counter: the stream ended, or the user stopped, before an answer came

All requests count as ``request``; one that was given a name counts under that name, too. Each that
was sent is in exactly one of result, error, timeout and unanswered. A condition that RFC 6120 does
not define is the peer's invention and counts as ``undefined-condition``, so that a peer cannot use
up the metrics of a worker.
"""

from __future__ import annotations

from typing import Final

from amoc import metrics
from amoc.base.errors import ScenarioError
from amoc.base.text import cut
from amoc.base.waiting import AnyWaiter, wait
from amoc.metrics import request_names
from amoc.metrics.request_names import ENDS
from amoc.xmpp.wire.condition import STANZA_CONDITIONS, UNDEFINED

MAX_NAME_BYTES: Final = 160
"""Of a request's name in UTF-8, so that the longest condition fits behind it."""


class RequestCounts:
    """The metrics of the requests of one name.

    Attributes:
        timer: From the iq to its result.
        result: Answers of type result.
        error: Answers of type error.
        timeout: Requests that were not answered in time.
        unanswered: Requests whose stream or user ended first.
    """

    __slots__ = ("_built_in", "error", "result", "timeout", "timer", "unanswered")

    def __init__(self, name: str, built_in: bool = False) -> None:
        """Declare the metrics of `name`, amoc's own or the scenario's.

        Raises:
            ScenarioError: It cannot be a metric's name, or is that of another kind of metric.
        """
        if isinstance(name, str) and len(name.encode()) > MAX_NAME_BYTES:
            raise ScenarioError(
                f"the name of a request must have at most {MAX_NAME_BYTES} bytes in UTF-8, got"
                f" {len(name.encode())}: {cut(name, MAX_NAME_BYTES)}"
            )
        self._built_in = built_in
        self.timer = metrics.built_in(metrics.Timer, name) if built_in else metrics.timer(name)
        self.result, self.error, self.timeout, self.unanswered = (
            self._counter(f"{name}.{end}") for end in ENDS
        )

    def _counter(self, name: str) -> metrics.Counter:
        return metrics.built_in(metrics.Counter, name) if self._built_in else metrics.counter(name)

    def answered(self, ns: int, condition: str | None) -> None:
        """Count an answer that came after `ns`; `condition` is that of an error."""
        if condition is None:
            self.result.inc()
            self.timer.record_ns(ns)
            return
        self.error.inc()
        known = condition if condition in STANZA_CONDITIONS else UNDEFINED
        self._counter(f"{self.error.name}.{known}").inc()


TOTAL: Final = RequestCounts(request_names.TOTAL, built_in=True)
"""All requests, whatever their names."""

_named: dict[str, RequestCounts] = {}


def of(name: str | None) -> tuple[RequestCounts, ...]:
    """What a request called `name` counts in; without a name only in the total.

    Raises:
        ScenarioError: It cannot be a metric's name, or is that of another kind of metric.
    """
    if name is None:
        return _TOTAL_ONLY
    found = _named.get(name)
    if found is None:
        found = _named[name] = RequestCounts(name)
    return TOTAL, found


_TOTAL_ONLY: Final = (TOTAL,)


def wait_counted(waiter: AnyWaiter, seconds: float, counts: tuple[RequestCounts, ...]) -> bool:
    """Wait for an answer and count in `counts` that none came; whether one came."""
    try:
        answered = wait(waiter, seconds)
    except BaseException:  # the stream ended, or the user is asked to stop or killed
        for one in counts:
            one.unanswered.inc()
        raise
    if not answered:
        for one in counts:
            one.timeout.inc()
    return answered
