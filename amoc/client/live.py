"""The seconds of a run as they arrive, from an event stream that is resumed when it breaks."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from http import HTTPStatus

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.client.answers import Second
from amoc.client.rest_client import LostError, RestClient, ServiceError, parsed, path_of
from amoc.client.sse import Event, EventReader

SILENT_S = 45.0
"""Streams send at least a heartbeat every 15 s."""
PATIENCE_S = 60.0


def seconds(server: RestClient, run: str, after: int, patience_s: float) -> Iterator[Second]:
    """Yield the seconds of a run after a number, until it ends; see `amoc.client.remote`.

    Raises:
        ServiceError: There is no such run.
        PeerError: The server could not be reached for longer than `patience_s`.
    """
    reader = EventReader(str(after) if after else "")
    heard_ns = now_ns()
    while True:
        reader.lost()
        try:
            with closing(_events(server, run, reader)) as events:
                for kind, data in events:
                    heard_ns = now_ns()
                    if kind == "end":
                        return
                    yield Second.of(parsed(data))
            why = f"{server}: the connection was lost"
        except LostError as error:
            why = str(error)
        except ServiceError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            why = str(error)
        if now_ns() - heard_ns > patience_s * S_NS:
            raise PeerError(f"{why}, and nothing came from run {run} for {patience_s:g} s")
        time.sleep(min(reader.retry_s, patience_s))


def _events(server: RestClient, run: str, reader: EventReader) -> Generator[Event, None, None]:
    """Yield the events of one connection, until it ends."""
    headers = {"Accept": "text/event-stream"}
    if reader.last_id:
        headers["Last-Event-ID"] = reader.last_id
    with server.open("GET", path_of(run, "events"), headers=headers, timeout_s=SILENT_S) as answer:
        while text := answer.readline():
            event = reader.feed(text.decode().rstrip("\r\n"))
            if event is not None:
                yield event
