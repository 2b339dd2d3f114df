"""DNS lookups with a cache.

A lookup occupies a thread, so a name wanted by thousands of users at once is looked up only once
and cached for a minute.
"""

from __future__ import annotations

import ipaddress
import socket as constants
from _socket import getaddrinfo  # the plain one, whether patched or not
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Final

import gevent
from gevent import get_hub

from amoc.base.tcp import Address as SocketAddress
from amoc.base.tracebacks import copy_of
from amoc.base.waiting import Waiter, wait_despite_pause

Server = tuple[str, int]
"""Host name or IP address, and port."""
Address = tuple[int, SocketAddress]
"""Address family, and address for `socket.connect`."""

_Found = tuple[int, int, int, str, SocketAddress]
"""As `getaddrinfo` returns it."""

REMEMBER_S: Final = 60.0
MAX_NAMES: Final = 256

_known: dict[Server, tuple[float, tuple[Address, ...]]] = {}
if TYPE_CHECKING:
    _LookUp = gevent.Greenlet[[Server], tuple[Address, ...] | OSError]
_lookups: dict[Server, _LookUp] = {}


@lru_cache(maxsize=MAX_NAMES)
def literal(host: str, port: int) -> Address | None:
    """Return the address of a server given by IP address; None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    family = constants.AF_INET if version == 4 else constants.AF_INET6
    return int(family), (host, port)


def resolve(host: str, port: int, timeout: float) -> tuple[Address, ...]:
    """Return the addresses of a server, best first.

    Args:
        host: A name or an IP address.
        port: The server's port.
        timeout: Timeout of the lookup, in seconds.

    Raises:
        OSError: The name cannot be resolved; `TimeoutError` if it takes too long.
    """
    number = literal(host, port)
    if number is not None:
        return (number,)
    server = host, port
    known = _known.get(server)
    if known is not None and known[0] > monotonic():
        return known[1]
    lookup = _lookups.get(server)
    if lookup is None:
        lookup = _lookups[server] = gevent.spawn(_look_up, server)
    if not _wait_for(lookup, timeout):
        raise TimeoutError(f"the name {host} was not resolved in time")
    if isinstance(lookup.value, tuple):
        return lookup.value
    if isinstance(lookup.value, OSError):
        raise copy_of(lookup.value)
    raise OSError("the lookup was interrupted")


def _wait_for(lookup: _LookUp, timeout: float) -> bool:
    waiter: Waiter[object] = Waiter()
    lookup.rawlink(waiter.give)
    try:
        return lookup.ready() or wait_despite_pause(waiter, timeout)
    finally:
        lookup.unlink(waiter.give)


def _ask(server: Server) -> list[_Found] | OSError:
    """Call the resolver, in a thread. Errors are returned: raising them there leaves cycles."""
    try:
        return getaddrinfo(*server, 0, constants.SOCK_STREAM)
    except OSError as error:
        return error.with_traceback(None)
    except UnicodeError as error:
        return OSError(str(error))


def _look_up(server: Server) -> tuple[Address, ...] | OSError:
    try:
        found = get_hub().threadpool.apply(_ask, (server,))
    finally:
        del _lookups[server]
    if isinstance(found, OSError):
        return found
    addresses = tuple(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    if len(_known) >= MAX_NAMES:
        _known.clear()
    _known[server] = monotonic() + REMEMBER_S, addresses
    return addresses
