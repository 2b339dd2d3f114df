"""The HTTP server with slow and silent clients, and what it logs about them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as gsocket
from gevent import ssl

from amoc.base.errors import ResourceError
from amoc.service import request_body, server
from amoc.service.config import ServiceConfig
from amoc.service.problems import Problem
from tests.certificates import Authority

CONFIG = ServiceConfig(Path("runs"), Path("scenarios"), Path("uploads"), port=0)
DEADLINE_S = 60.0


def hello(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(server, "HEAD_S", 0.2)
    monkeypatch.setattr(server, "SILENT_S", 0.4)
    http = server.make(hello, CONFIG)
    yield http.server_port
    http.stop(timeout=1)


def said(port: int, sent: bytes) -> bytes:
    """Everything received by a client that sends only this."""
    with gsocket.create_connection(("127.0.0.1", port), DEADLINE_S) as line:
        line.sendall(sent)
        with gevent.Timeout(DEADLINE_S):
            return b"".join(iter(lambda: line.recv(1000), b""))


def test_a_slow_request_head_is_rejected_without_a_traceback(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(port, b"GET / HTTP/1.1\r\nHost: x\r\n").startswith(b"HTTP/1.1 400")
    assert "Traceback" not in capfd.readouterr().err


def test_an_invalid_or_slow_tls_handshake_is_closed_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.2)
    both = Path(Authority(tmp_path).issue("server.pem", ["127.0.0.1"]))
    http = server.make(hello, replace(CONFIG, cert=both, key=both))
    try:
        assert said(http.server_port, b"") == b""
        with suppress(ConnectionResetError):
            assert b"HTTP" not in said(http.server_port, b"GET / HTTP/1.0\r\n\r\n")
    finally:
        http.stop(timeout=1)
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_sends_nothing_is_disconnected(port: int) -> None:
    assert said(port, b"") == b""


def test_the_wait_for_a_body_is_bounded(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
    assert not said(port, head).startswith(b"HTTP/1.1 200")


def dripping(port: int, head: bytes, drop: bytes = b"x") -> bytes:
    """What a client receives that keeps sending single bytes until it is disconnected."""
    with gsocket.create_connection(("127.0.0.1", port), DEADLINE_S) as line:
        line.sendall(head)

        def drip() -> None:
            with suppress(OSError):
                while True:
                    line.sendall(drop)
                    gevent.sleep(0.05)

        dripper = gevent.spawn(drip)
        got = b""
        try:
            with gevent.Timeout(DEADLINE_S), suppress(ConnectionResetError):
                while data := line.recv(1000):
                    got += data
        finally:
            dripper.kill()
        return got


def test_a_request_line_sent_byte_by_byte_is_given_up(port: int) -> None:
    assert dripping(port, b"GET /") == b""


def refusing(_: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Respond without reading the body."""
    start("403 Forbidden", [("Content-Length", "2")])
    return [b"no"]


BODIES = [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize("how", BODIES)
def test_a_body_sent_byte_by_byte_is_given_up(how: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_S", 0.4)
    seen: list[Problem] = []

    def reading(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except Problem as problem:
            seen.append(problem)
        start("408 Request Timeout", [("Content-Length", "4")])
        return [b"late"]

    http = server.make(reading, CONFIG)
    try:
        drop = b"1\r\nx\r\n" if b"chunked" in how else b"x"
        got = dripping(http.server_port, b"PUT / HTTP/1.1\r\nHost: x\r\n" + how + b"\r\n\r\n", drop)
    finally:
        http.stop(timeout=1)
    assert got == b"" or got.startswith(b"HTTP/1.1 408")  # a reset may have discarded the response
    assert [int(one.status) for one in seen] == [408]


@pytest.mark.parametrize("how", BODIES)
def test_an_unwanted_body_is_not_read_indefinitely(
    how: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "LINGER_S", 0.4)
    http = server.make(refusing, CONFIG)
    try:
        drop = b"1\r\nx\r\n" if b"chunked" in how else b"x"
        got = dripping(http.server_port, b"PUT / HTTP/1.1\r\nHost: x\r\n" + how + b"\r\n\r\n", drop)
    finally:
        http.stop(timeout=1)
    assert got.startswith(b"HTTP/1.1 403")


def test_a_client_that_sends_its_whole_body_first_gets_its_response_and_the_next() -> None:
    http = server.make(refusing, CONFIG)
    body = bytes(4 << 20)
    sent = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    try:
        assert said(http.server_port, sent + last).count(b"HTTP/1.1 403") == 2
    finally:
        http.stop(timeout=1)


def test_only_a_bounded_part_of_an_endless_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "LINGER_BYTES", 1 << 20)
    http = server.make(refusing, CONFIG)
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
    sent = 0
    try:
        with gsocket.create_connection(("127.0.0.1", http.server_port), DEADLINE_S) as line:
            line.sendall(head)
            with gevent.Timeout(DEADLINE_S), suppress(OSError):
                while True:
                    line.sendall(bytes(1 << 16))
                    sent += 1 << 16
    finally:
        http.stop(timeout=1)
    assert sent >= 1 << 20  # ends only when the connection is closed


def test_a_client_that_expects_100_continue_is_answered_at_once() -> None:
    http = server.make(refusing, CONFIG)
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    try:
        got = said(http.server_port, head)
    finally:
        http.stop(timeout=1)
    assert got.startswith(b"HTTP/1.1 403")
    assert b"100 Continue" not in got


def test_a_malformed_chunked_body_is_a_client_error() -> None:
    seen: list[Problem] = []

    def reading(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        with pytest.raises(Problem) as refusal:
            environ["wsgi.input"].read()
        seen.append(refusal.value)
        start("400 Bad Request", [("Content-Length", "0")])
        return []

    http = server.make(reading, CONFIG)
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    try:
        assert said(http.server_port, head).startswith(b"HTTP/1.1 400")
    finally:
        http.stop(timeout=1)
    assert [int(one.status) for one in seen] == [400]


LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BEGUN = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


Silent = Callable[..., list[Any]]


@pytest.fixture
def silent() -> Iterator[Silent]:
    """Connect clients to a port that send something and then fall silent."""
    lines: list[Any] = []

    def connected(port: int, count: int, sent: bytes = b"") -> list[Any]:
        new = [gsocket.create_connection(("127.0.0.1", port), DEADLINE_S) for _ in range(count)]
        lines.extend(new)
        for line in new:
            line.sendall(sent)
        return new

    yield connected
    for line in lines:
        line.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo"])
@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS", "MAX_OF_CLIENT"])
def test_silent_clients_make_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    silent: Silent,
    limit: str,
    sent: bytes,
) -> None:
    monkeypatch.setattr(server, limit, 3)
    http = server.make(hello, CONFIG)
    try:
        idle = silent(http.server_port, 3, sent)
        assert said(http.server_port, LAST).startswith(b"HTTP/1.1 200")
        with gevent.Timeout(DEADLINE_S):
            assert idle[0].recv(1) in (b"", b"H")  # ended, perhaps with a refusal
        for line in idle[1:]:
            line.sendall(LAST[len(sent) :] if not sent else b"st: x\r\nConnection: close\r\n\r\n")
            assert line.recv(12) == b"HTTP/1.1 200"
    finally:
        http.stop(timeout=1)
    assert "1 idle ones were closed for new ones, and 0 were refused" in caplog.text


def test_a_kept_alive_connection_is_idle_again_after_its_response(
    monkeypatch: pytest.MonkeyPatch, silent: Silent
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    http = server.make(hello, CONFIG)
    try:
        (kept,) = silent(http.server_port, 1, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
        assert said(http.server_port, LAST).startswith(b"HTTP/1.1 200")
        with gevent.Timeout(DEADLINE_S):
            while kept.recv(1000):
                pass
    finally:
        http.stop(timeout=1)


def test_with_no_idle_connection_a_new_client_is_told_to_retry_later(
    monkeypatch: pytest.MonkeyPatch, silent: Silent
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    http = server.make(hello, CONFIG)
    try:
        busy = silent(http.server_port, 2, BEGUN)
        with gevent.Timeout(DEADLINE_S):
            while not (answer := said(http.server_port, LAST)).startswith(b"HTTP/1.1 503"):
                busy += silent(http.server_port, 1, BEGUN)
        assert b"Retry-After: " in answer
        for line in busy[-2:]:
            line.sendall(b"hello")
            assert line.recv(12) == b"HTTP/1.1 200"
        gevent.sleep(0)
        assert said(http.server_port, LAST).startswith(b"HTTP/1.1 200")
    finally:
        http.stop(timeout=1)


def test_a_silent_tls_handshake_makes_room_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: Silent
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    authority = Authority(tmp_path)
    both = Path(authority.issue("server.pem", ["127.0.0.1"]))
    http = server.make(hello, replace(CONFIG, cert=both, key=both))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.ca)
    try:
        (idle,) = silent(http.server_port, 1)
        for _ in range(2):  # the second takes the place of the first
            (line,) = silent(http.server_port, 1)
            with context.wrap_socket(line, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert secure.recv(12) == b"HTTP/1.1 200"
        with gevent.Timeout(DEADLINE_S):
            assert idle.recv(1) in (b"", b"\x15")  # ended, perhaps with an alert
    finally:
        http.stop(timeout=1)


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ServiceConfig(Path("r"), Path("s"), Path("u"), port=port)
        with pytest.raises(ResourceError, match=f"cannot listen on 127.0.0.1:{port}"):
            server.make(hello, config)
