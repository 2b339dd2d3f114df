"""Opening a connection to a server: name lookup, TCP, proxy and TLS, each of them timed."""

from __future__ import annotations

import errno
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Final, NamedTuple

from gevent import socket as gevent_socket

from amoc.base import name_lookup, targets
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.base.name_lookup import Address
from amoc.base.tcp import Socket, connected_socket
from amoc.base.tls_context import TlsOptions
from amoc.http import errors, meters
from amoc.http.connection import Connection
from amoc.http.tls import TlsChannel, terms_for
from amoc.http.urls import Origin, parse

if TYPE_CHECKING:
    from amoc.http.call import Call

MAX_PROXY_HEAD: Final = 16 << 10
_CONNECTED: Final = 200

Dns = Mapping[str, str] | Callable[[str], str | Sequence[str]] | None
"""Overrides of name resolution, as `http.session` takes them: a mapping from names to addresses
(``host`` or ``host:port``), or a function that returns such addresses for a name."""


class Route(NamedTuple):
    """How the connections of a session are made."""

    tls: TlsOptions
    connect_s: float
    """Timeout in seconds of each of name lookup, TCP connect and TLS handshake."""
    dns: Dns = None
    source: str | None = None
    """Local address to connect from."""
    server_name: str | None = None
    """Name for SNI and certificate verification; None for the URL's host."""
    resume: bool = True
    """Whether to resume TLS sessions."""


class Proxy(NamedTuple):
    """An HTTP proxy, reached over TCP without TLS."""

    origin: Origin
    authorization: str
    """Header line with the proxy's credentials; empty without a user."""

    @classmethod
    def at(cls, url: str) -> Proxy:
        """Return the proxy with this URL.

        Raises:
            ScenarioError: The URL is invalid, or is an https one.
        """
        found = parse(url if "://" in url else f"http://{url}")
        if found.origin.secure:
            raise ScenarioError(f"a proxy must have an http:// address, got {found.origin}")
        line = ""
        if found.user is not None:
            secret = b64encode(f"{found.user}:{found.password or ''}".encode()).decode()
            line = f"Proxy-Authorization: Basic {secret}\r\n"
        return cls(found.origin, line)


def open_connection(
    origin: Origin, route: Route, proxy: Proxy | None, call: Call, deadline_ns: int
) -> Connection:
    """Open a connection to `origin`.

    Args:
        origin: The server.
        route: Options of the connection.
        proxy: Proxy to connect through, if any.
        call: The request, for error messages.
        deadline_ns: When the whole request must be complete, on the monotonic clock.

    Raises:
        ConnectError: The connection cannot be made.
        RequestTimeout: A timeout has expired.
        ScenarioError: The options are invalid.
    """
    targets.note(origin)
    sock = _tcp_to(proxy.origin if proxy else origin, route, call, deadline_ns)
    try:
        if proxy is not None and origin.secure:
            _tunnel(sock, origin, proxy, call, _left(route, deadline_ns))
        channel = _secured(sock, origin, route, call, deadline_ns) if origin.secure else None
        return Connection(sock, channel)
    except BaseException:
        sock.close()
        raise


def _left(route: Route, deadline_ns: int) -> float:
    return max(min(route.connect_s, (deadline_ns - monotonic_ns()) / S_NS), 0.0)


def _tcp_to(origin: Origin, route: Route, call: Call, deadline_ns: int) -> Socket:
    left = _left(route, deadline_ns)
    begin_ns = monotonic_ns()
    try:
        found = _resolved(origin, route.dns, left)
    except TimeoutError:
        raise errors.timed_out(call.shown, "dns", left) from None
    except OSError as error:
        raise errors.ConnectError(
            f"{call.shown}: the name {origin.host} cannot be resolved: {error.strerror or error}",
            "unknown host",
        ) from None
    known_ns = monotonic_ns()
    if name_lookup.literal(origin.host, origin.port) is None:
        meters.dns.record_ns(known_ns - begin_ns)
    failure = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    left = _left(route, deadline_ns)
    end_ns = known_ns + int(left * S_NS)
    for tried, (family, address) in enumerate(found):
        # Divide the remaining time, so that an address which never answers leaves some for others.
        share_s = max((end_ns - monotonic_ns()) / S_NS, 0.0) / (len(found) - tried)
        try:
            sock = connected_socket(family, address, route.source, share_s)
        except OSError as error:
            failure = error.with_traceback(None)
            continue
        meters.connect.record_ns(monotonic_ns() - known_ns)
        meters.opened.inc()
        return sock
    if isinstance(failure, TimeoutError) and failure.errno is None:
        raise errors.timed_out(call.shown, "connect", left)
    raise errors.cannot_connect(failure, call.shown, route.source)


def _resolved(origin: Origin, dns: Dns, timeout: float) -> tuple[Address, ...]:
    """Return the addresses of a server. The scenario's overrides take precedence."""
    said: str | Sequence[str] | None
    said = dns(origin.host) if callable(dns) else dns.get(origin.host) if dns else None
    if not said:
        return name_lookup.resolve(origin.host, origin.port, timeout)
    found: list[Address] = []
    for one in [said] if isinstance(said, str) else said:
        host, port = _split(one, origin.port)
        found += name_lookup.resolve(host, port, timeout)
    return tuple(found)


def _split(address: str, port: int) -> tuple[str, int]:
    if name_lookup.literal(address, port) is not None:
        return address, port
    other = parse(f"http://{address}").origin
    given = address.rpartition("]")[2]
    return other.host, other.port if ":" in given else port


def _secured(
    sock: Socket, origin: Origin, route: Route, call: Call, deadline_ns: int
) -> TlsChannel:
    left = _left(route, deadline_ns)
    name = route.server_name or origin.host
    terms = terms_for(route.tls, name, origin)
    if not route.resume:
        terms = terms._replace(sessions=None)
    try:
        channel = TlsChannel(terms)
    except (ValueError, UnicodeError):
        raise ScenarioError(
            f"{call.shown}: a certificate cannot be for the name {name!r}"
        ) from None
    begin_ns = monotonic_ns()
    try:
        channel.handshake(sock, left)
    except TimeoutError:
        raise errors.timed_out(call.shown, "tls", left) from None
    except OSError as error:
        raise errors.tls_failed(error, call.shown, name) from None
    meters.tls.record_ns(monotonic_ns() - begin_ns)
    if channel.is_resumed:
        meters.tls_resumed.inc()
    if not channel.verifies:
        meters.tls_unverified.inc()
    return channel


def _tunnel(sock: Socket, origin: Origin, proxy: Proxy, call: Call, timeout: float) -> None:
    """Have the proxy connect to `origin` (CONNECT, RFC 9110 section 9.3.6)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    where = f"{host}:{origin.port}"
    deadline_ns = monotonic_ns() + int(timeout * S_NS)
    head = b""
    try:
        sock.send(
            f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{proxy.authorization}\r\n".encode()
        )
        # Bytes after the head belong to the server, so peek first and consume only the head.
        while b"\r\n\r\n" not in head and len(head) < MAX_PROXY_HEAD:
            left = (deadline_ns - monotonic_ns()) / S_NS
            if left <= 0:
                raise errors.timed_out(call.shown, "connect", timeout)
            gevent_socket.wait_read(sock.fileno(), timeout=left, timeout_exc=TimeoutError())
            seen = sock.recv(MAX_PROXY_HEAD, gevent_socket.MSG_PEEK)
            end = (head + seen).find(b"\r\n\r\n")
            taken = sock.recv(len(seen) if end < 0 else end + 4 - len(head))
            if not taken:
                break
            head += taken
    except TimeoutError:
        raise errors.timed_out(call.shown, "connect", timeout) from None
    except OSError as error:
        raise errors.ProxyError(
            f"{call.shown}: the proxy: {errors.text_of(error)}", "proxy"
        ) from None
    line = head.partition(b"\r\n")[0].decode("latin-1")
    status = line.split(" ")[1:2]
    if not line.startswith("HTTP/1.") or status != [str(_CONNECTED)]:
        raise errors.ProxyError(
            f"{call.shown}: the proxy {proxy.origin} must connect to {where},"
            f" but answered {line[:80]!r}",
            "proxy",
        )
