"""Uploads (XEP-0363) to scripted HTTP servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent.server import StreamServer
from gevent.socket import socket

from amoc import xmpp
from amoc.steps import recorder
from tests.unit.xmpp.fake import PATIENCE_S, answering, connect, count, serving

UPLOAD = "urn:xmpp:http:upload:0"


@contextmanager
def web_server(serve: Callable[[socket, bytes], object]) -> Iterator[int]:
    """An HTTP server that reads one request and lets `serve` answer."""

    def handle(sock: socket, _: object) -> None:
        heard = b""
        while b"\r\n\r\n" not in heard:
            data = sock.recv(65536)
            if not data:
                return
            heard += data
        serve(sock, heard)

    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(1)


def slot(url: str, headers: str = "") -> bytes:
    return (
        f"<iq type='result' id='ID' from='upload.localhost'><slot xmlns='{UPLOAD}'>"
        f"<put url='{url}'>{headers}</put><get url='http://h/g'/></slot></iq>"
    ).encode()


def say(status: str) -> Callable[[socket, bytes], object]:
    return lambda sock, _: sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


def test_a_file_is_uploaded_to_the_slot_with_only_the_permitted_headers() -> None:
    asked: list[bytes] = []

    def serve(sock: socket, heard: bytes) -> None:
        asked.append(heard)
        say("201 Created")(sock, heard)

    headers = (
        "<header name='Authorization'>Basic x\n y</header><header name='Host'>evil</header>"
        "<header name='X-Other'>1</header>"
    )
    uploads = recorder.of("upload")
    done = count(uploads.timer)
    with (
        web_server(serve) as port,
        serving(answering(slot(f"http://127.0.0.1:{port}/a/b?c=d", headers))) as server,
        connect(server) as client,
    ):
        assert client.upload(b"12345", "x.txt", "text/plain", PATIENCE_S) == "http://h/g"
    head, _, body = asked[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PUT /a/b?c=d HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}".encode() in lines
    assert b"Content-Length: 5" in lines
    assert b"Authorization: Basic x y" in lines
    assert b"evil" not in head
    assert b"X-Other" not in head
    assert body in (b"", b"12345")
    assert count(uploads.timer) - done == 1


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Broken", "302 Found"])
def test_a_refused_upload_is_an_error_with_its_status(status: str) -> None:
    uploads = recorder.of("upload")
    failed = count(uploads.failures)
    with (
        web_server(say(status)) as port,
        serving(answering(slot(f"http://127.0.0.1:{port}/"))) as server,
        connect(server) as client,
        pytest.raises(xmpp.UploadError, match=f"refused with status {status[:3]}"),
    ):
        client.upload(b"x", timeout=PATIENCE_S)
    assert count(uploads.failures) - failed == 1


@pytest.mark.parametrize(
    "serve",
    [
        lambda sock, _: sock.close(),
        lambda sock, _: sock.sendall(b"nonsense\r\n\r\n"),
        lambda sock, _: sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000),
    ],
    ids=["closes", "not HTTP", "endless headers"],
)
def test_a_broken_http_server_is_an_error(serve: Callable[[socket, bytes], object]) -> None:
    with (
        web_server(serve) as port,
        serving(answering(slot(f"http://127.0.0.1:{port}/"))) as server,
        connect(server) as client,
        pytest.raises(xmpp.UploadError, match="the upload failed"),
    ):
        client.upload(b"x", timeout=PATIENCE_S)


def test_a_slow_upload_times_out_without_blocking_other_greenlets() -> None:
    uploads = recorder.of("upload")
    late = count(uploads.failures)
    ticks = []

    def tick() -> None:
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    other = gevent.spawn(tick)
    with (
        web_server(lambda sock, _: gevent.sleep(PATIENCE_S)) as port,
        serving(answering(slot(f"http://127.0.0.1:{port}/"))) as server,
        connect(server) as client,
        pytest.raises(xmpp.UploadError, match=r"not done within 0\.2 s"),
    ):
        client.upload(b"x", timeout=0.2)
    other.kill()
    assert len(ticks) > 2
    assert count(uploads.failures) - late == 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "nonsense", "http://", "http://h:99999/"])
def test_a_slot_with_an_invalid_http_url_is_refused(url: str) -> None:
    with (
        serving(answering(slot(url))) as server,
        connect(server) as client,
        pytest.raises(xmpp.UploadError, match="the upload failed"),
    ):
        client.upload(b"x", timeout=PATIENCE_S)


def test_a_response_without_a_slot_is_an_error() -> None:
    with (
        serving(answering(b"<iq type='result' id='ID' from='upload.localhost'/>")) as server,
        connect(server) as client,
        pytest.raises(xmpp.UploadError, match="must answer with a slot"),
    ):
        client.upload_slot(1, timeout=PATIENCE_S)
