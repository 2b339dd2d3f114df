"""Streams: unread remainders, failures, and which side is blamed for a delay."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from amoc import http, step
from amoc.base.errors import ScenarioError
from amoc.http.connection import MAX_AHEAD, Connection
from amoc.metrics.step_names import AGGREGATED

from .conftest import Behaviour, Server
from .support import counters

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[Behaviour], Server]


def connection_of(answer: http.Answer) -> Connection:
    assert answer.stream is not None
    return answer.stream.connection


def eventually(condition: Callable[[], object]) -> None:
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.001)


@pytest.mark.parametrize("path", ["/whole", "/redirect"])
def test_the_unread_rest_of_a_stream_does_not_leak_into_the_next_answer(
    serve: Serve, path: str
) -> None:
    def behave(_: object, head: bytes) -> bytes:
        if b"/redirect" in head:
            return b"HTTP/1.1 302 Found\r\nLocation: /whole\r\nContent-Length: 5\r\n\r\nmoved"
        return OK if b"/next" in head else b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"

    server = serve(behave)
    with http.session(server.url, timeout=30) as session:
        with session.stream("GET", path) as answer:
            assert answer.status == 200
        assert session.get("/next").bytes == b"ok"
    assert server.connections == 1


def test_failed_checks_of_a_stream_fail_it_and_its_step_once(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session, step("download"):
        with session.stream("GET", "/big") as answer:
            answer.check(status=201)
            answer.fail("no stock")
        answer.fail("too late")
    found = counters()
    assert found["GET /big.count"] == found["GET /big.failures"] == 1
    assert found["GET /big.failures.check status"] == 1
    assert found["download.count"] == found["download.failures"] == 1
    assert found[f"{AGGREGATED}.count"] == found[f"{AGGREGATED}.failures"] == 1


def test_a_stream_must_be_read_within_its_block(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session:
        with session.stream("GET", "/old") as answer:
            begun = answer.chunks()
        for chunks in (begun, answer.chunks()):
            with pytest.raises(ScenarioError, match="must be read within its with block"):
                next(chunks)


def test_a_greenlet_reading_a_stream_is_interrupted_at_the_end_of_the_block(serve: Serve) -> None:
    begun = Event()

    def read(answer: http.Answer) -> str:
        begun.set()
        with pytest.raises(ScenarioError) as refused:
            list(answer.chunks())
        return str(refused.value)

    server = serve(lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    with http.session(server.url) as session:
        with session.stream("GET", "/") as answer:
            beside = gevent.spawn(read, answer)
            assert begun.wait(30)  # when this greenlet continues, the other one waits
        assert "must be read within its with block" in beside.get(timeout=30)


def test_a_complete_answer_can_be_read_after_its_deadline(serve: Serve) -> None:
    server = serve(lambda *_: OK)
    with http.session(server.url) as session, session.stream("GET", "/") as answer:
        connection = connection_of(answer)
        eventually(lambda: connection.reader.complete)
        connection.overdue()
        connection.silent(1)
        assert b"".join(answer.chunks()) == b"ok"
    assert answer.ok


def test_a_slow_reader_does_not_cause_a_read_timeout(serve: Serve) -> None:
    size = 4 << 20
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    server = serve(lambda *_: head + bytes(size))
    with http.session(server.url, read_timeout=30) as session, session.stream("GET", "/") as answer:
        connection = connection_of(answer)
        eventually(lambda: sum(map(len, connection.reader.parts)) > MAX_AHEAD)
        connection.silent(30)
        assert sum(map(len, answer.chunks())) == size
    assert answer.ok
