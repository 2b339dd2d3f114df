"""A server that violates HTTP fails the request with a named cause, in bounded time and memory."""

from __future__ import annotations

import gc
import gzip
import zlib
from collections.abc import Callable

import gevent
import pytest
from gevent import socket

from amoc import http
from amoc.http import connection, deadlines

from .conftest import Behaviour, Server
from .support import counters

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def drip(begin: bytes, again: bytes) -> Behaviour:
    """Send `begin`, and then `again` endlessly with pauses."""

    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(begin)
        while True:
            sock.sendall(again)
            gevent.sleep(0.01)

    return behave


def say_and_close(data: bytes) -> Behaviour:
    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(data)
        raise StopIteration

    return behave


def say(data: bytes) -> Behaviour:
    return lambda *_: data


def fill(begin: bytes, piece: bytes) -> Behaviour:
    """Send `begin`, and then as much as the client takes."""

    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(begin)
        while True:
            sock.sendall(piece)

    return behave


def silent(sock: socket.socket, _: bytes) -> None:
    while sock.recv(100):
        pass


UNFINISHED = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 99999
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"
LENGTH_AND_CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"


def encoded(encoding: bytes, body: bytes) -> bytes:
    return GZIPPED.replace(b"gzip", encoding) % (len(body), body)


@pytest.mark.parametrize(
    ("behave", "cause"),
    [
        (silent, "timeout (read)"),
        (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "timeout (whole)"),
        (drip(CHUNKED, b"1\r\nx\r\n"), "timeout (whole)"),
        (fill(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100), "answer too large"),
        (fill(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000), "answer too large"),
        (fill(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "answer too large"),
        (fill(CHUNKED, b"1\r\nx\r\n" * 1000), "answer too large"),
        (fill(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), "answer too large"),
        (fill(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096), "answer too large"),
        (say(UNFINISHED), "timeout (whole)"),
        (say_and_close(b""), "closed early"),
        (say_and_close(b"HTTP/1.1 200 OK\r\nContent-Len"), "closed early"),
        (say_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), "closed early"),
        (say_and_close(CHUNKED + b"5\r\nhel"), "closed early"),
        (say(TWO_LENGTHS), "malformed answer"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"), "malformed answer"),
        (say(LENGTH_AND_CHUNKS), "malformed answer"),
        (say(CHUNKED + b"zz\r\nhello\r\n"), "malformed answer"),
        (say(CHUNKED + b"5\r\nhello!!\r\n"), "malformed answer"),
        (say(OK + OK), "malformed answer"),
        (say(OK + b"surplus"), "malformed answer"),
        (say(b"220 mail.example ESMTP\r\n"), "malformed answer"),
        (say(b"HTTP/1.1 2000 OK\r\n\r\n"), "malformed answer"),
        (say(SWITCHING), "malformed answer"),
        (say(b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"), "malformed answer"),
        (say(encoded(b"gzip", b"no gzip at all")), "bad encoding (gzip)"),
        (say(encoded(b"gzip", gzip.compress(b"x" * 999)[:-9])), "bad encoding (gzip)"),
        (say(encoded(b"deflate", b"\xff\xff\xff")), "bad encoding (deflate)"),
        (say(encoded(b"br", b"no Brotli at all")), "bad encoding (br)"),
        (say(encoded(b"zstd", b"no Zstandard")), "bad encoding (zstd)"),
        (say(encoded(b"lzma", b"what is this")), "bad encoding (lzma)"),
        (say(encoded(b"gzip", gzip.compress(bytes(9 << 20)))), "answer too large"),
        (say(encoded(b"deflate", zlib.compress(bytes(9 << 20)))), "answer too large"),
    ],
)  # fmt: skip
def test_a_hostile_server_fails_the_request_with_a_named_cause(
    serve: Callable[[Behaviour], Server], behave: Behaviour, cause: str
) -> None:
    server = serve(behave)
    seconds = 1 if cause.startswith("timeout") else 60
    with http.session(server.url, timeout=60, max_body=1 << 20, raises=False) as session:
        answer = session.get("/", timeout=seconds)
        assert (answer.cause, answer.status) == (cause, 0), answer.message
        found = counters()
        assert found["GET /.failures"] == found["GET /.count"] == 1
        assert found[f"GET /.failures.{cause}"] == 1
        server.behave = say(OK)  # the next request is not affected
        assert session.get("/").text == "ok"


def test_the_size_limit_applies_to_answers_read_at_once(
    serve: Callable[[Behaviour], Server],
) -> None:
    server = serve(say(OK))
    with http.session(server.url, max_body=2) as session:
        assert session.get("/").text == session.get("/").text == "ok"
    with http.session(server.url, max_body=1, raises=False) as session:
        assert session.get("/").cause == session.get("/").cause == "answer too large"


def test_a_raising_session_raises_an_error_with_the_cause(
    serve: Callable[[Behaviour], Server],
) -> None:
    server = serve(say(b"nonsense"))
    with http.session(server.url) as session, pytest.raises(http.MalformedAnswer) as caught:
        session.get("/x?y=1")
    assert caught.value.cause == "malformed answer"
    assert f"GET {server.url}/x?y=1" in str(caught.value)


def test_a_refused_connection_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with http.session(url) as session, pytest.raises(http.ConnectError) as caught:
            session.get("/")
    assert caught.value.cause == "ConnectionRefusedError"
    assert counters()["GET /.failures.ConnectionRefusedError"] == 1


def test_a_server_that_does_not_read_causes_a_write_timeout(
    serve: Callable[[Behaviour], Server],
) -> None:
    server = serve(lambda *_: gevent.sleep(30))
    with http.session(server.url, timeout=1, read_timeout=30, raises=False) as session:
        answer = session.post("/", data=iter([bytes(1 << 20)] * 64))
    assert answer.cause == "timeout (write)"
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is deadlines.Silence]


def test_unsolicited_bytes_close_an_idle_connection(serve: Callable[[Behaviour], Server]) -> None:
    def behave(sock: socket.socket, _: bytes) -> None:
        sock.sendall(OK)
        gevent.sleep(0.05)
        sock.sendall(OK)  # an answer to a request that was never made

    server = serve(behave)
    with http.session(server.url) as session:
        assert session.get("/one").text == "ok"
        gevent.sleep(0.2)
        server.behave = say(OK.replace(b"ok", b"2!"))
        assert session.get("/two").text == "2!"
    assert server.connections == 2


def test_a_connection_closed_while_idle_is_not_reused(serve: Callable[[Behaviour], Server]) -> None:
    server = serve(say_and_close(OK))
    with http.session(server.url) as session:
        for _ in range(3):
            assert session.get("/").ok
            gevent.sleep(0.05)
    assert server.connections == 3
    assert counters()["GET /.failures"] == 0


def test_a_request_on_a_closing_connection_is_retried_only_if_harmless(
    serve: Callable[[Behaviour], Server],
) -> None:
    seen = []

    def behave(sock: socket.socket, head: bytes) -> bytes:
        if len(seen) % 2:
            seen.append(head)
            raise StopIteration  # closes with the request unread, as far as the client can tell
        seen.append(head)
        return OK

    server = serve(behave)
    with http.session(server.url, raises=False) as session:
        assert session.get("/").ok
        assert session.get("/").ok
        assert server.connections == 2
        assert len(seen) == 3
        assert session.post("/", data=b"order").cause == "closed early"
        assert len(seen) == 4


def test_the_buffer_of_a_stream_is_bounded(serve: Callable[[Behaviour], Server]) -> None:
    sent = 0

    def behave(sock: socket.socket, _: bytes) -> None:
        nonlocal sent
        sock.sendall(CHUNKED)
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        while sent < (64 << 20):
            sock.sendall(piece)
            sent += len(piece)
        sock.sendall(b"0\r\n\r\n")

    server = serve(behave)
    with http.session(server.url) as session, session.stream("GET", "/") as answer:
        chunks = answer.chunks()
        size = len(next(chunks))
        gevent.sleep(0.3)  # nobody reads: the server can fill only the kernel's buffers
        assert sent < (32 << 20)
        held = sum(map(len, answer.stream.connection.reader.parts))
        assert held <= connection.MAX_AHEAD + connection.MANY_BYTES
        size += sum(map(len, chunks))
    assert size >= (64 << 20)


def test_the_answer_to_head_has_no_body_whatever_its_headers_say(
    serve: Callable[[Behaviour], Server],
) -> None:
    server = serve(say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nX: y\r\n\r\n"))
    with http.session(server.url) as session:
        for _ in range(3):
            answer = session.head("/")
            assert (answer.bytes, answer.headers["content-length"]) == (b"", "5000")
    assert server.connections == 1


def test_heads_may_be_split_anywhere(serve: Callable[[Behaviour], Server]) -> None:
    def behave(sock: socket.socket, _: bytes) -> None:
        said = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        said += b"HTTP/1.1 201 Made it\r\nX-A: 1\r\nx-a: 2\r\n"
        for byte in said + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: t\r\n\r\n":
            sock.sendall(bytes([byte]))
            gevent.sleep(0)

    server = serve(behave)
    with http.session(server.url) as session:
        for _ in range(2):
            answer = session.get("/")
            assert (answer.status, answer.reason, answer.text) == (201, "Made it", "hi")
            assert answer.headers["X-A"] == "1, 2"
            assert answer.headers.all("x-a") == ["1", "2"]
            assert "link" not in answer.headers
    assert server.connections == 1
