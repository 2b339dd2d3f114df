"""TCP connections to servers by name, and the errors when none can be made."""

from __future__ import annotations

import errno
import os
import resource as limits
from time import monotonic_ns

from amoc.base.clock import S_NS
from amoc.base.tcp import Socket, connected_socket
from amoc.xmpp import errors
from amoc.xmpp.connection import causes, server_addresses
from amoc.xmpp.connection.server_url import Server


def connected_to(server: Server, source: str | None, who: str, deadline_ns: int) -> Socket:
    """Return a socket connected to `server`.

    Args:
        server: The server's address.
        source: The local address to connect from; None for the default.
        who: User and server, for messages.
        deadline_ns: When to give up, on the monotonic clock.

    Raises:
        ConnectError: No connection could be made.
    """
    found = server_addresses.resolve(server, who, (deadline_ns - monotonic_ns()) / S_NS)
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    for tried, (family, address) in enumerate(found):
        try:
            # The remaining addresses get their share of the time if this one does not answer.
            left = (deadline_ns - monotonic_ns()) / S_NS / (len(found) - tried)
            return connected_socket(family, address, source, left)
        except OSError as error:
            failure = error.with_traceback(None)  # the traceback would refer to this frame
    raise connect_error(failure, who, source)


def connect_error(error: OSError, who: str, source: str | None) -> errors.ConnectError:
    """Return the error for a failed connection, from the local address `source` if given."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return errors.ConnectTimeout(
            f"{who}: could not connect within xmpp_connect_timeout", causes.TIMEOUT_TCP
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
        whose = (
            "this process may open"
            if error.errno == errno.EMFILE
            else "this host is out of file descriptors; a process may open"
        )
        return errors.OutOfFilesError(
            f"{who}: each user needs a file descriptor, but {whose} only {soft}; raise the limit"
            f" with 'ulimit -n' (maximum {hard}) or LimitNOFILE= in systemd, or use more workers"
        )
    hint = ""
    if error.errno == errno.EADDRNOTAVAIL:
        hint = (
            f"; local ports of {source} may be exhausted"
            if source
            else "; local ports may be exhausted"
        ) + ", add addresses to xmpp_source_addresses"
    reason = os.strerror(error.errno) if error.errno else str(error)
    cause = causes.TIMEOUT_TCP if error.errno == errno.ETIMEDOUT else causes.of_loss(error)
    return errors.ConnectError(f"{who}: cannot connect: {reason}{hint}", cause)
