"""Server-sent events: what a client gets that listens.

An event's id is the number of a second, so a client that was cut off goes on where it was, by
``Last-Event-ID``. Nothing is kept for a client that reads slowly: its next event is read from the
run's directory when it has taken the one before, and its connection is closed when it takes
nothing for a minute (`amoc.service.server`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, g, request

from amoc.service.problems import Problem
from amoc.service.tokens import Role

MAX_STREAMS = 64
KEPT_STREAMS = 16
"""Of these, for those who may do more than look."""
HEARTBEAT_S = 15.0
"""A comment goes out when nothing has for so long: proxies close silent connections."""
HEARTBEAT = ": still here\n\n"
RETRY_MS = 2_000
MAX_NUMBER = 1 << 53

_open = 0


def event(kind: str, data: object, number: int | None = None) -> str:
    """An event; `number` is what the client says it has seen when it comes back."""
    head = f"id: {number}\n" if number is not None else ""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return f"{head}event: {kind}\ndata: {text}\n\n"


def last_seen(default: int = 0) -> int:
    """The number that this request's client has seen last.

    Raises:
        Problem: It is no number.
    """
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and int(text[:20]) <= MAX_NUMBER):
        detail = "must be the number of a second"
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"Last-Event-ID: {detail}", [("Last-Event-ID", detail)]
        )
    return int(text)


def stream(events: Iterator[str]) -> Response:
    """The answer that sends `events` for as long as the client listens.

    Raises:
        Problem: Too many listen already.
    """
    most = MAX_STREAMS - KEPT_STREAMS if g.role is Role.READ else MAX_STREAMS
    if _open >= most:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{_open} event streams are open, and {most} is the limit; try again later",
            headers=[("Retry-After", "5")],
        )
    answer = Response(_Counted(events), mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"  # for nginx
    return answer


class _Counted(Iterator[bytes]):
    """Events as bytes; counts the open streams."""

    def __init__(self, events: Iterator[str]) -> None:
        global _open
        _open += 1
        self._events: Iterator[str] | None = events

    def __next__(self) -> bytes:
        if self._events is None:
            raise StopIteration
        return next(self._events).encode()

    def close(self) -> None:
        """The client is gone, or there is nothing more to say."""
        global _open
        if self._events is not None:
            _open -= 1
            close = getattr(self._events, "close", None)
            self._events = None
            if close is not None:
                close()
