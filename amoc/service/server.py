"""The HTTP server: gevent's, with limits."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ResourceError, UsageError
from amoc.service.config import ServiceConfig
from amoc.service.connections import Connection, Connections
from amoc.service.request_body import RequestBody
from amoc.service.tokens import client_of

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_OF_CLIENT = 128
"""Connections of one client, see `amoc.service.tokens.client_of`."""
SILENT_S = 60.0
"""How long a client may send nothing of what it owes, or take nothing of what it asked for."""
HEAD_S = 30.0
"""How long a client may take over the TLS handshake, and over the head of a request once it has
sent the first line, which must be there after `SILENT_S`."""
DRAIN_S = 5.0
REFUSE_S = 1.0
"""How long a client has to take the answer that there is no room for it."""
SAY_S = 60.0
"""How often it is logged that connections were ended or refused."""
_LINE = re.compile(rb"(?:[\w!#$%&'*+.^`|~-]+:[^\r\n\0]*)?\r?\n")
"""A line of a head: a header on a line of its own, or the end."""
_ENDS = {"content-length": r"[0-9]{1,19}", "transfer-encoding": r"(?i:chunked)"}
"""Headers that say where a body ends, and how."""
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)


class _BadHead(ValueError):
    """Of this kind the server writes a line, and of others a traceback."""


class _Head:
    """The rest of a head while it is read: what a proxy may have understood otherwise is refused.

    For then the two differ in where the next request begins, which somebody else may have sent.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def readline(self, limit: int) -> bytes:
        """The next line."""
        line: bytes = self._file.readline(limit)
        if _LINE.fullmatch(line) is None:
            raise _BadHead("a line of the head is no header, is too long, or has no end")
        return line


class Handler(WSGIHandler):
    """A connection.

    Attributes:
        connection: The same, among all.
    """

    connection: Connection

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
        with gevent.Timeout(HEAD_S, _BadHead("the head of a request took too long")):
            found = super().read_request(raw_requestline)
        self.connection.works()
        return found

    def MessageClass(self, *arguments: Any) -> Any:  # noqa: N802 - pywsgi's name
        """The headers of a request."""
        file, *more = arguments
        head: Any = _Head(file)
        try:
            found = super().MessageClass(head, *more)
        except HTTPException as error:  # there are too many
            raise _BadHead(str(error)) from None
        ends = [(_ENDS[name.lower()], one) for name, one in found.items() if name.lower() in _ENDS]
        if len(ends) > 1 or not all(re.fullmatch(form, one) for form, one in ends):
            raise _BadHead("a request must say once, and plainly, where its body ends")
        return found

    def get_environ(self) -> Any:
        """What the application is told of a request; its body comes in time, or not at all."""
        made = super().get_environ()
        assert self.wsgi_input is not None
        self.wsgi_input = self._body = RequestBody(self.wsgi_input, self.connection.rests)
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
    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._connections = Connections(MAX_CONNECTIONS, MAX_OF_CLIENT)
        self._said_ns = -int(SAY_S * S_NS)
        super().__init__(*arguments, **options)

    def handle(self, client_socket: Any, address: Any) -> None:
        """Serve a client if there is room for it."""
        with self._admitted(client_socket, address) as connection:
            if connection is None:
                _refuse(client_socket)
            else:
                self._serve(client_socket, address, connection)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Agree with a client on how to encrypt, then serve it, if there is room for it."""
        try:
            secure = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:
            _no_tls(address[0], error)
            return
        try:
            with self._admitted(secure, address) as connection:
                if connection is not None and _agreed(secure, address[0]):
                    self._serve(secure, address, connection)
        finally:
            secure.close()

    def _serve(self, client_socket: Any, address: Any, connection: Connection) -> None:
        handler = self.handler_class(client_socket, address, self)
        handler.connection = connection
        handler.handle()

    @contextmanager
    def _admitted(self, client_socket: Any, address: Any) -> Iterator[Connection | None]:
        """A client's connection until the block ends; None if there is no room for it."""
        there = self._connections
        before = there.ended, there.refused
        found = there.admit(client_of(address[0]), partial(_stop_reading, client_socket))
        if before != (there.ended, there.refused) and now_ns() - self._said_ns > SAY_S * S_NS:
            self._said_ns = now_ns()
            log.warning(
                "%d connections are open, and clients want more: so far %d idle ones were closed"
                " for new ones, and %d were refused; the latest came from %s",
                *(len(there.open), there.ended, there.refused, address[0]),
            )
        try:
            yield found
        finally:
            if found is not None:
                found.close()


def _stop_reading(client_socket: Any) -> None:
    """Have who reads come to the end; a request that is there already is still answered."""
    # By a descriptor of its own: an object for TLS would forget that it encrypts.
    with suppress(OSError), socket.socket(fileno=os.dup(client_socket.fileno())) as same:
        same.shutdown(socket.SHUT_RD)


def _agreed(secure: Any, host: str) -> bool:
    """Whether a client and we agree on how to encrypt."""
    try:
        with gevent.Timeout(HEAD_S, TimeoutError("it took too long")):
            secure.do_handshake()
    except OSError as error:
        _no_tls(host, error)
        return False
    return True


def _no_tls(host: str, error: OSError) -> None:
    log.debug("%s: no TLS: %s", host, error)  # anybody can cause one: no line of the log


def _refuse(client_socket: Any) -> None:
    """Say that there is no room, and wait for the client to have read that."""
    with suppress(OSError), gevent.Timeout(REFUSE_S, TimeoutError()):
        client_socket.sendall(_FULL)
        client_socket.shutdown(socket.SHUT_WR)
        while client_socket.recv(1 << 16):
            pass


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
        spawn=Pool(2 * MAX_CONNECTIONS),  # with those that end, or are told that they cannot begin
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
    return {"ssl_context": context, "do_handshake_on_connect": False}
