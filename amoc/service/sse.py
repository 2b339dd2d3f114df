"""Server-sent events.

The id of an event is the number of a second, so a client whose connection broke can continue where
it was, by ``Last-Event-ID``. No events are buffered for slow clients: the next event is read from
the run's directory after the client has taken the previous one. If a client takes nothing for a
minute its connection is closed (`amoc.service.server`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, request

from amoc.service import guard
from amoc.service.problems import Problem
from amoc.service.tokens import Role

MAX_STREAMS = 64
KEPT_STREAMS = 16
"""Streams reserved for clients that may do more than read."""
HEARTBEAT_S = 15.0
"""A comment is sent after this time without an event, as proxies close silent connections."""
HEARTBEAT = ": still here\n\n"
RETRY_MS = 2_000
MAX_NUMBER = 1 << 53

_open = 0


def event(kind: str, data: object, number: int | None = None) -> str:
    """Format an event; `number` is its id, which the client sends when it reconnects."""
    head = f"id: {number}\n" if number is not None else ""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return f"{head}event: {kind}\ndata: {text}\n\n"


def last_seen(default: int = 0) -> int:
    """Return the number of the last second that this request's client has seen.

    Raises:
        Problem: The header is not a number.
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
    """Return the response that sends `events` until they end or the client disconnects.

    Raises:
        Problem: There are too many streams.
    """
    most = MAX_STREAMS - KEPT_STREAMS if guard.role() is Role.READ else MAX_STREAMS
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
    """Events as bytes. Counts the open streams."""

    def __init__(self, events: Iterator[str]) -> None:
        global _open
        _open += 1
        self._events: Iterator[str] | None = events

    def __next__(self) -> bytes:
        if self._events is None:
            raise StopIteration
        return next(self._events).encode()

    def close(self) -> None:
        """End the stream, because of a disconnect or after the last event."""
        global _open
        if self._events is not None:
            _open -= 1
            close = getattr(self._events, "close", None)
            self._events = None
            if close is not None:
                close()
