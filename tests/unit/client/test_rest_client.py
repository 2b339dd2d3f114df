"""What a client accepts as its token and as a response."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amoc.base.errors import PeerError, UsageError
from amoc.client.fetched import summary_of
from amoc.client.rest_client import LostError, RestClient, parsed, token_in


def test_a_servers_token_file_is_rejected_as_a_client_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("  0123456789abcdef\n")
    assert token_in(file) == "0123456789abcdef"
    for text in ("admin 0123456789abcdef\n", "0123456789abcdef\nfedcba9876543210\n", "\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match="must hold a token and nothing else") as refused:
            token_in(file)
        assert "0123456789abcdef" not in str(refused.value)


@contextmanager
def answering(length: int, body: bytes) -> Iterator[RestClient]:
    """Yield a client of a server that answers once, with `body` after a head with `length`."""

    def serve() -> None:
        line, _ = server.accept()
        with line:
            line.recv(1 << 16)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        yield RestClient.to(f"http://127.0.0.1:{server.getsockname()[1]}", None, 10.0)
        serving.join()


@pytest.mark.parametrize("body", [b"", b"{", b"{}"])
def test_a_truncated_response_is_an_error(body: bytes) -> None:
    with (
        answering(3, body) as client,
        pytest.raises(LostError, match="in the middle of a response"),
    ):
        client.request("GET", "/runs/last")


@pytest.mark.parametrize("body", ["[]", "null", '"up"', "3"])
def test_a_response_that_is_not_an_object_is_an_error(body: str) -> None:
    with pytest.raises(PeerError, match="the server's answer must be an object, got "):
        parsed(body)


def test_a_response_that_lacks_a_field_is_an_error() -> None:
    with pytest.raises(PeerError, match=r"the server's answer must have runs, got \['state'\]"):
        parsed('{"state": "idle"}')["runs"]


@pytest.mark.parametrize("body", [b"{}", b'{"run": null}', b'{"run": {}}'])
def test_a_response_that_is_not_a_summary_is_an_error(body: bytes) -> None:
    with (
        answering(len(body), body) as client,
        pytest.raises(PeerError, match=r"what http://127\.0\.0\.1:\d+ sent is not a summary"),
    ):
        summary_of(client, "last")
