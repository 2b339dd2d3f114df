"""The HTTP server with clients that are slow, and what it says of them."""

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

from amoc.base.errors import ResourceError
from amoc.service import server
from amoc.service.config import ServiceConfig
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
    """All that a client gets that sends no more than that."""
    with gsocket.create_connection(("127.0.0.1", port), DEADLINE_S) as line:
        line.sendall(sent)
        with gevent.Timeout(DEADLINE_S):
            return b"".join(iter(lambda: line.recv(1000), b""))


def test_a_head_that_takes_too_long_is_refused_in_a_line(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(port, b"GET / HTTP/1.1\r\nHost: x\r\n").startswith(b"HTTP/1.1 400")
    assert "Traceback" not in capfd.readouterr().err


def test_a_tls_handshake_that_is_none_or_takes_too_long_is_ended_in_silence(
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


def test_a_client_that_says_nothing_is_disconnected(port: int) -> None:
    assert said(port, b"") == b""


def test_a_body_that_does_not_come_is_not_awaited_for_ever(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
    assert not said(port, head).startswith(b"HTTP/1.1 200")


def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ServiceConfig(Path("r"), Path("s"), Path("u"), port=port)
        with pytest.raises(ResourceError, match=f"cannot listen on 127.0.0.1:{port}"):
            server.make(hello, config)
