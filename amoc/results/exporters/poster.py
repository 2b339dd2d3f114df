"""HTTP for exporters: the standard library's, on sockets that do not block the event loop."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult

import gevent
from gevent import socket as gsocket
from gevent import ssl as gssl

MAX_ANSWER = 64 << 10


class Posted(NamedTuple):
    """The answer of the other end."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes
    """The beginning of the body."""


class Poster:
    """A persistent connection, established when needed."""

    def __init__(self, url: SplitResult, certificate: str = "") -> None:
        """Post to the host of `url`, trusting the authorities in `certificate` or the system's."""
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        self._connection = _Connection(url.hostname or "", port, tls, certificate)

    def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Posted:
        """Post `body`.

        Raises:
            OSError: There is no answer in time; the connection is closed.
        """
        connection = self._connection
        try:
            with gevent.Timeout(timeout_s, TimeoutError(f"no answer within {timeout_s:g} s")):
                connection.request("POST", path, body, dict(headers))
                answer = connection.getresponse()
                said = answer.read(MAX_ANSWER)
                if not answer.isclosed():
                    connection.close()  # ignore the rest of a long answer
                return Posted(answer.status, answer.reason, answer.msg, said)
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"its answer is not HTTP ({error!r})") from None
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection; the next post opens another one."""
        self._connection.close()


class _Connection(http.client.HTTPConnection):
    """The standard library's HTTP on a socket that does not block the event loop."""

    def __init__(self, host: str, port: int, tls: bool, certificate: str) -> None:
        super().__init__(host, port)
        self._tls = tls
        self._certificate = certificate

    def connect(self) -> None:
        """Connect, by name, with TLS if configured."""
        made = gsocket.create_connection((self.host, self.port))
        if self._tls:
            try:
                # Not create_default_context(), whose sockets would block.
                context = gssl.SSLContext(gssl.PROTOCOL_TLS_CLIENT)
                if self._certificate:
                    context.load_verify_locations(self._certificate)
                else:
                    context.load_default_certs()
                made = context.wrap_socket(made, server_hostname=self.host)
            except BaseException:
                made.close()
                raise
        self.sock = made
