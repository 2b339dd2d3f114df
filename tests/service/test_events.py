"""The event stream of a run: each second once, whatever happens to the connection."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.process.support import eventually
from tests.service.support import Daemon

pytestmark = pytest.mark.slow


class Event(NamedTuple):
    id: int | None
    kind: str
    data: Any


class Stream:
    """What a browser's EventSource does, by hand."""

    def __init__(self, daemon: Daemon, run: str, seen: int | None = None) -> None:
        self._line = daemon.connection()
        headers = {} if seen is None else {"Last-Event-ID": str(seen)}
        self._line.request("GET", f"/runs/{run}/events", headers=headers)
        self.answer: http.client.HTTPResponse = self._line.getresponse()

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                number = fields.get("id")
                data = json.loads(fields["data"])
                yield Event(None if number is None else int(number), fields["event"], data)
                fields = {}

    def close(self) -> None:
        self.answer.close()
        self._line.close()


def test_an_interrupted_stream_resumes_without_a_gap(daemon: Daemon) -> None:
    run = daemon.start(users=2)
    eventually(lambda: daemon.get(f"/runs/{run}/series")["total"], "a second")
    stream = Stream(daemon, run)
    assert stream.answer.headers.get_content_type() == "text/event-stream"
    first = next(iter(stream))
    assert (first.id, first.kind, first.data["second"]) == (1, "second", 1)
    assert "looks" in first.data["counters"]
    stream.close()

    eventually(lambda: daemon.get(f"/runs/{run}/series")["total"] >= 3, "three seconds")
    stream = Stream(daemon, run, seen=1)
    daemon.patch("/execution/stop")
    *seconds, end = stream
    stream.close()
    assert [one.id for one in seconds] == list(range(2, len(seconds) + 2))
    assert (end.id, end.kind, end.data["id"], end.data["state"]) == (None, "end", run, "over")
    # The same as what is read of the run that is over, to the last second.
    series = daemon.get(f"/runs/{run}/series?after=1")
    assert [one.data for one in seconds] == series["seconds"]
    daemon.wait_for_end(run)
    # A run that is over is told from any second.
    total = series["total"]
    for seen in (0, total - 1, total, total + 100):
        stream = Stream(daemon, run, seen)
        kinds = [one.kind for one in stream]
        stream.close()
        assert kinds == ["second"] * max(0, total - seen) + ["end"]


def test_streams_are_limited_and_released(daemon: Daemon) -> None:
    run = daemon.start(users=1)
    streams = [Stream(daemon, run) for _ in range(64)]
    assert {one.answer.status for one in streams} == {200}
    more = Stream(daemon, run)
    assert (more.answer.status, more.answer.headers["Retry-After"]) == (503, "5")
    for one in (*streams, more):
        one.close()

    def again() -> bool:
        stream = Stream(daemon, run)
        try:
            return stream.answer.status == 200
        finally:
            stream.close()

    eventually(again, "a stream is free")
    for seen in ("-1", "x", "1.5", "9" * 30):
        assert daemon.request("GET", f"/runs/{run}/events", Last_Event_ID=seen).status == 400
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)
