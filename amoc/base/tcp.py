"""TCP connections for very many users: plain non-blocking sockets, without a greenlet each."""

from __future__ import annotations

import errno
import os
import socket as constants
from _socket import socket as Socket  # noqa: N812 - the plain one, whether patched or not
from typing import Final

from gevent import get_hub

from amoc.base.waiting import Waiter, wait_despite_pause

__all__ = ["FEW_BYTES", "READ", "READ_BYTES", "WRITE", "Address", "Socket", "connected_socket"]

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""A socket address in the form returned by getaddrinfo."""
FEW_BYTES: Final = 470
"""Size of a read until there was more: small enough for the interpreter's own allocator."""
READ_BYTES: Final = 16 << 10
READ: Final = 1
WRITE: Final = 2
_NOTICE_A_DEAD_PEER: Final = (
    (constants.SOL_SOCKET, constants.SO_KEEPALIVE, 1),
    (constants.IPPROTO_TCP, constants.TCP_KEEPIDLE, 60),
    (constants.IPPROTO_TCP, constants.TCP_KEEPINTVL, 15),
    (constants.IPPROTO_TCP, constants.TCP_KEEPCNT, 4),
    (constants.IPPROTO_TCP, constants.TCP_USER_TIMEOUT, 120_000),
)
"""Keepalive: a user may wait for hours, but only for two minutes after the server's host dies."""


def connected_socket(family: int, address: Address, source: str | None, timeout: float) -> Socket:
    """Return a non-blocking TCP socket connected to `address`.

    Args:
        family: The address family, as in the socket module.
        address: The argument for `socket.connect`, with an IP address as the host.
        source: The local address to connect from; None for the default.
        timeout: Seconds.

    Raises:
        TimeoutError: The connection took too long.
        OSError: The connection failed.
    """
    sock = Socket(family, constants.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(constants.IPPROTO_TCP, constants.TCP_NODELAY, 1)
        for option in _NOTICE_A_DEAD_PEER:
            sock.setsockopt(*option)
        if source is not None:
            _bind(sock, source)
        error = sock.connect_ex(address)
        if error in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            _wait_writable(sock, timeout)
            error = sock.getsockopt(constants.SOL_SOCKET, constants.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: Socket, source: str) -> None:
    # Without this option the kernel reserves a port for all destinations at bind(), and ports run
    # out with far fewer connections.
    option = getattr(constants, "IP_BIND_ADDRESS_NO_PORT", 24)
    sock.setsockopt(constants.IPPROTO_IP, option, 1)
    sock.bind((source, 0))


def _wait_writable(sock: Socket, timeout: float) -> None:
    waiter: Waiter[bool] = Waiter()
    watcher = get_hub().loop.io(sock.fileno(), WRITE)
    watcher.start(waiter.give, True)
    try:
        if not wait_despite_pause(waiter, timeout):
            raise TimeoutError
    finally:
        watcher.close()
