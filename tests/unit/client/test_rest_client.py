"""What a client accepts as its token and as a response."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.client.rest_client import LostError, RestClient, token_in


def test_a_servers_token_file_is_rejected_as_a_client_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("  0123456789abcdef\n")
    assert token_in(file) == "0123456789abcdef"
    for text in ("admin 0123456789abcdef\n", "0123456789abcdef\nfedcba9876543210\n", "\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match="must hold a token and nothing else") as refused:
            token_in(file)
        assert "0123456789abcdef" not in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"{", b"{}"])
def test_a_truncated_response_is_an_error(body: bytes) -> None:
    def serve() -> None:
        line, _ = server.accept()
        with line:
            line.recv(1 << 16)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        client = RestClient.to(f"http://127.0.0.1:{server.getsockname()[1]}", None, 10.0)
        with pytest.raises(LostError, match="in the middle of a response"):
            client.request("GET", "/runs/last")
        serving.join()
