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
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import gevent
from gevent import socket as gsocket
from gevent import ssl
from gevent.pool import Pool
from gevent.pywsgi import OldMessage, WSGIHandler, WSGIServer

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ResourceError, UsageError
from amoc.service.config import ServiceConfig
from amoc.service.connections import Connection, Connections
from amoc.service.request_body import RequestBody
from amoc.service.tokens import client_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_OF_CLIENT = 128
"""Maximum number of connections per client, see `amoc.service.tokens.client_of`."""
SILENT_S = 60.0
"""How long a client may neither send what it is expected to send nor receive a response."""
HEAD_S = 30.0
"""Time limit for the TLS handshake, and for the head of a request after its first line, which has
to arrive within `SILENT_S`."""
DRAIN_S = 5.0
REFUSE_S = 1.0
"""How long a client may take to receive the response that there is no room for it."""
SAY_S = 60.0
"""Minimum interval between log lines about closed or refused connections."""
_LINE = re.compile(rb"(?:[\w!#$%&'*+.^`|~-]+:[^\r\n\0]*)?\r?\n")
"""A line of a head: one header on one line, or the end of the head."""
_ENDS = {"content-length": r"[0-9]{1,19}", "transfer-encoding": r"(?i:chunked)"}
"""Headers that determine where a body ends, and their allowed values."""
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)


_Address: TypeAlias = Any  # a tuple that begins with the host, but gevent's types say text


class _BadHead(ValueError):
    """An invalid head. The server logs a line for this error, and a traceback for others."""


class _Head(BufferedIOBase):
    """The rest of a request's head. Refuses lines that a proxy may interpret differently.

    The server and the proxy would disagree on where the next request starts, which may be another
    client's (request smuggling).
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def readline(self, limit: int | None = -1, /) -> bytes:
        """Return the next line."""
        line = self._file.readline(limit)
        if _LINE.fullmatch(line) is None:
            raise _BadHead("a line of the head is not a header, is too long, or has no end")
        return line


class Handler(WSGIHandler):
    """Handler of one connection.

    Attributes:
        connection: Its entry among all connections.
    """

    connection: Connection

    def handle(self) -> None:
        """Serve the requests of the connection."""
        # A response is two writes; with Nagle's algorithm the second waits for an acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(SILENT_S)
        super().handle()

    def read_requestline(self) -> str:
        """Wait for a request, and read its first line."""
        with gevent.Timeout(SILENT_S, TimeoutError("the first line took too long")):
            return super().read_requestline()

    def read_request(self, raw_requestline: str) -> OldMessage:
        """Read the rest of a request's head."""
        with gevent.Timeout(HEAD_S, _BadHead("the head of a request took too long")):
            found = super().read_request(raw_requestline)
        self.connection.mark_busy()
        return found

    def MessageClass(self, fp: BufferedIOBase, *_: object) -> OldMessage:  # noqa: N802 - pywsgi's
        """Parse the headers of a request."""
        try:
            found = super().MessageClass(_Head(fp))
        except HTTPException as error:  # too many headers
            raise _BadHead(str(error)) from None
        ends = [(_ENDS[name.lower()], one) for name, one in found.items() if name.lower() in _ENDS]
        if len(ends) > 1 or not all(re.fullmatch(form, one) for form, one in ends):
            raise _BadHead("a request must declare once, and clearly, where its body ends")
        return found

    def get_environ(self) -> WSGIEnvironment:
        """Return the WSGI environment of a request, with a time limit on reading its body."""
        made = super().get_environ()
        assert self.wsgi_input is not None
        self.wsgi_input = self._body = RequestBody(self.wsgi_input, self.connection.mark_idle)
        made["wsgi.input"] = self._body
        made["wsgi.input_terminated"] = True
        return made

    def handle_one_response(self) -> None:
        """Respond to a request."""
        super().handle_one_response()
        self.close_connection = self.close_connection or not self._body.has_ended

    def format_request(self) -> str:
        """Return a log line, without the query, which may contain secrets."""
        path = (self.path or "-").partition("?")[0]
        code, size = str(self.status or "-").partition(" ")[0], self.response_length or 0
        return f"{self.client_address[0]} {self.command} {path} {code} {size}"


class _Server(WSGIServer):
    handler_class: type[Handler]

    def __init__(
        self, listener: gsocket.socket, app: WSGIApplication, tls: ssl.SSLContext | None
    ) -> None:
        self._connections = Connections(MAX_CONNECTIONS, MAX_OF_CLIENT)
        self._said_ns = -int(SAY_S * S_NS)
        self._tls = tls
        options = {} if tls is None else {"ssl_context": tls, "do_handshake_on_connect": False}
        super().__init__(  # type: ignore[call-overload]  # its types do not allow options as a dict
            listener,
            app,
            spawn=Pool(2 * MAX_CONNECTIONS),  # including those that end or are refused
            handler_class=Handler,
            log=_Lines(logging.DEBUG),
            error_log=_Lines(logging.ERROR),
            **options,
        )

    def handle(self, client_socket: gsocket.socket, address: _Address) -> None:
        """Serve a client if there is room for it."""
        with self._admitted(client_socket, address) as connection:
            if connection is None:
                _refuse(client_socket)
            else:
                self._serve(client_socket, address, connection)

    def wrap_socket_and_handle(self, client_socket: gsocket.socket, address: _Address) -> None:
        """Perform the TLS handshake with a client and serve it, if there is room for it."""
        assert self._tls is not None
        try:
            secure = self._tls.wrap_socket(
                client_socket, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:
            _no_tls(address[0], error)
            return
        try:
            with self._admitted(secure, address) as connection:
                if connection is not None and _agreed(secure, address[0]):
                    self._serve(secure, address, connection)
        finally:
            secure.close()

    def _serve(
        self, client_socket: gsocket.socket, address: _Address, connection: Connection
    ) -> None:
        handler = self.handler_class(client_socket, address, self)
        handler.connection = connection
        handler.handle()

    @contextmanager
    def _admitted(
        self, client_socket: gsocket.socket, address: _Address
    ) -> Iterator[Connection | None]:
        """Register a client's connection for the block. Yields None if there is no room for it."""
        there = self._connections
        before = there.ended, there.refused
        found = there.admit(client_of(address[0]), partial(_stop_reading, client_socket))
        if before != (there.ended, there.refused) and now_ns() - self._said_ns > SAY_S * S_NS:
            self._said_ns = now_ns()
            log.warning(
                "%d connections are open and clients want more: so far %d idle ones were closed"
                " for new ones, and %d were refused; the latest came from %s",
                *(len(there.open), there.ended, there.refused, address[0]),
            )
        try:
            yield found
        finally:
            if found is not None:
                found.close()


def _stop_reading(client_socket: gsocket.socket) -> None:
    """End the reading side of a connection. A request that has already arrived is answered."""
    # Through a duplicate descriptor: an SSL socket would fall back to plain text on shutdown.
    with suppress(OSError), socket.socket(fileno=os.dup(client_socket.fileno())) as same:
        same.shutdown(socket.SHUT_RD)


def _agreed(secure: ssl.SSLSocket, host: str) -> bool:
    """Perform the TLS handshake. Return whether it succeeded."""
    try:
        with gevent.Timeout(HEAD_S, TimeoutError("it took too long")):
            secure.do_handshake()
    except OSError as error:
        _no_tls(host, error)
        return False
    return True


def _no_tls(host: str, error: OSError) -> None:
    log.debug("%s: no TLS: %s", host, error)  # not logged by default, as any client can cause it


def _refuse(client_socket: gsocket.socket) -> None:
    """Respond that there is no room, and wait until the client has read it."""
    with suppress(OSError), gevent.Timeout(REFUSE_S, TimeoutError()):
        client_socket.sendall(_FULL)
        client_socket.shutdown(socket.SHUT_WR)
        while client_socket.recv(1 << 16):
            pass


class _Lines:
    """Stream for gevent's messages, which writes them as lines of the log."""

    def __init__(self, level: int) -> None:
        self._level = level

    def write(self, text: str) -> None:
        if text.strip():
            log.log(self._level, "%s", text.strip())


def make(app: WSGIApplication, config: ServiceConfig) -> WSGIServer:
    """Return a server of `app`, which is listening already.

    Raises:
        ResourceError: The address cannot be used.
        UsageError: The certificate or the key cannot be used.
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
    server = _Server(listener, app, tls)
    server.stop_timeout = DRAIN_S
    server.start()
    return server


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key} cannot be used: {error}") from None
    return context
