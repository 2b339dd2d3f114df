"""The HTTP server: gevent's, with limits."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from amoc.base.errors import ResourceError, UsageError
from amoc.service.config import ServiceConfig
from amoc.service.request_body import RequestBody

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
SILENT_S = 60.0
"""How long a client may send nothing of what it owes, or take nothing of what it asked for."""
HEAD_S = 30.0
"""How long a client may take over the TLS handshake, and over the head of a request once it has
sent the first line, which must be there after `SILENT_S`."""
DRAIN_S = 5.0


class _TooSlow(ValueError):
    """Of this kind the server writes a line, and of others a traceback."""


class Handler(WSGIHandler):
    """A connection."""

    def handle(self) -> None:
        """Serve its requests."""
        # An answer is two writes; without this the second waits for the client's acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(SILENT_S)
        super().handle()

    def read_requestline(self) -> Any:
        """Wait for a request, and read its first line."""
        with gevent.Timeout(SILENT_S, TimeoutError("the first line took too long")):
            return super().read_requestline()

    def read_request(self, raw_requestline: str) -> Any:
        """Read the rest of the head of a request."""
        with gevent.Timeout(HEAD_S, _TooSlow("the head of a request took too long")):
            return super().read_request(raw_requestline)

    def get_environ(self) -> Any:
        """What the application is told of a request; its body comes in time, or not at all."""
        made = super().get_environ()
        assert self.wsgi_input is not None
        self.wsgi_input = self._body = RequestBody(self.wsgi_input)
        made["wsgi.input"] = self._body
        made["wsgi.input_terminated"] = True
        return made

    def handle_one_response(self) -> None:
        """Answer a request."""
        super().handle_one_response()
        self.close_connection = self.close_connection or not self._body.has_ended

    def format_request(self) -> str:
        """A line of the log; without the query, which somebody may have put a secret into."""
        path = (self.path or "-").partition("?")[0]
        size = self.response_length or 0
        return f"{self.client_address[0]} {self.command} {path} {self._code()} {size}"

    def _code(self) -> str:
        return str(self.status or "-").partition(" ")[0]


_SERVER: Any = WSGIServer  # its stubs have no variant for options as a dict


class _Server(_SERVER):  # type: ignore[misc]
    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Agree with a client on how to encrypt, then serve it."""
        try:
            with gevent.Timeout(HEAD_S, TimeoutError("it took too long")):
                secure = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:  # anybody can cause one: no line of the log
            log.debug("%s: no TLS: %s", address[0], error)
            return
        try:
            self.handle(secure, address)
        finally:
            secure.close()


class _Lines:
    """What the server writes to, as lines of the log."""

    def __init__(self, level: int) -> None:
        self._level = level

    def write(self, text: str) -> None:
        if text.strip():
            log.log(self._level, "%s", text.strip())


def make(app: Any, config: ServiceConfig) -> Any:
    """A server of `app` that listens already.

    Raises:
        ResourceError: Its address cannot be used.
        UsageError: The certificate or key cannot be.
    """
    tls = _tls(config.cert, config.key)
    listener = gsocket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise ResourceError(f"cannot listen on {config.host}:{config.port}: {why}") from None
    server: Any = _Server(
        listener,
        app,
        spawn=Pool(MAX_CONNECTIONS),
        handler_class=Handler,
        log=_Lines(logging.DEBUG),
        error_log=_Lines(logging.ERROR),
        **tls,
    )
    server.stop_timeout = DRAIN_S
    server.start()
    return server


def _tls(cert: Path | None, key: Path | None) -> dict[str, Any]:
    if cert is None:
        return {}
    from gevent import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key} cannot be used: {error}") from None
    return {"ssl_context": context}
