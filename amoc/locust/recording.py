"""Recording of `request` events: a step named after type and name of the request."""

from __future__ import annotations

from gevent import getcurrent

from amoc.base.clock import MS_NS
from amoc.base.tracebacks import message_of
from amoc.http import RequestError, names
from amoc.locust.exceptions import CatchResponseError


def record(
    request_type: str = "",
    name: str = "",
    response_time: float | None = None,
    response_length: int | None = None,
    exception: object = None,
    **_: object,
) -> None:
    """Record a request that a locustfile has measured. This is the first listener of the event.

    Args:
        request_type: First word of the step's name: ``GET``.
        name: The rest of it: ``/item/[id]``.
        response_time: In milliseconds.
        response_length: In bytes.
        exception: Why it failed, as an exception or text; None for a success.
    """
    put(
        f"{request_type} {name}".strip(),
        int((response_time or 0) * MS_NS),
        response_length or 0,
        None if exception is None or exception is False else cause_of(exception),
    )


def put(name: str, ns: int, size: int, failure: tuple[str, str] | None) -> None:
    """Record one execution of a step, in the same way as amoc's own requests."""
    one = names.recorder_of(name)
    if failure is None:
        one.succeeded(ns)
    else:
        one.failed(*failure)
    if size > 0:
        one.read(size)
    outer = getattr(getcurrent(), "open_step", None)
    if outer is not None:
        outer.has_inner = True
        outer.inner_failed |= failure is not None


def cause_of(exception: object) -> tuple[str, str]:
    """Return the cause that a failure is counted under, and its details."""
    why = getattr(exception, "__cause__", None)
    if isinstance(why, RequestError):
        return why.cause, str(why)
    if (status := getattr(exception, "failed_status", None)) is not None:
        return f"status {status}", str(exception)
    if isinstance(exception, CatchResponseError | str):
        return str(exception) or "failure", ""
    if isinstance(exception, BaseException):
        return type(exception).__name__, message_of(exception)
    return str(exception), ""
