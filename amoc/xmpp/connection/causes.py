"""Pure. Why connections fail or are lost: a fixed list of causes.

Failed attempts and lost sessions are counted by cause, as in ``connection_failures.refused``. A
peer cannot add to the list, so it cannot exhaust a worker's metrics: a condition that RFC 6120 does
not define counts as ``undefined-condition``.
"""

from __future__ import annotations

import errno
from typing import Final

from amoc.xmpp.wire.condition import (
    SASL_CONDITIONS,
    STANZA_CONDITIONS,
    STREAM_CONDITIONS,
    UNDEFINED,
)

REFUSED: Final = "refused"
"""Nothing listens at the server's address, or a firewall rejects the connection."""
UNREACHABLE: Final = "unreachable"
"""There is no route to the server's host."""
NAME_UNKNOWN: Final = "name-unknown"
"""The server's name has no address."""
NO_LOCAL_PORT: Final = "no-local-port"
"""Local ports are exhausted, or a source address does not belong to this host."""
OUT_OF_FILES: Final = "out-of-files"
"""No file descriptor is left."""
TIMEOUT_TCP: Final = "timeout-tcp"
"""The TCP connection was not accepted in time."""
TIMEOUT_TLS: Final = "timeout-tls"
"""The TLS handshake did not complete in time."""
TIMEOUT_LOGIN: Final = "timeout-login"
"""The server accepted the connection but took too long to log the user in."""
TLS: Final = "tls"
"""The handshake failed, a certificate was not accepted, or TLS is required but not offered."""
UPGRADE: Final = "upgrade"
"""The server refuses or does not support WebSocket or BOSH."""
RESET: Final = "reset"
"""The server, or a device in between, reset the connection."""
CLOSED: Final = "closed"
"""The server closed the connection or the stream without a stream error."""
PEER_DEAD: Final = "peer-dead"
"""The server's host acknowledged nothing for two minutes."""
NOT_READING: Final = "not-reading"
"""The server accepted no more bytes."""
PROTOCOL_VIOLATION: Final = "protocol-violation"
"""The server sent something that XMPP does not allow."""
SCENARIO: Final = "scenario"
"""A handler of the scenario raised an exception."""
OTHER: Final = "other"
"""Any other cause."""

CAUSES: Final = frozenset(
    (
        REFUSED,
        UNREACHABLE,
        NAME_UNKNOWN,
        NO_LOCAL_PORT,
        OUT_OF_FILES,
        TIMEOUT_TCP,
        TIMEOUT_TLS,
        TIMEOUT_LOGIN,
        TLS,
        UPGRADE,
        RESET,
        CLOSED,
        PEER_DEAD,
        NOT_READING,
        PROTOCOL_VIOLATION,
        SCENARIO,
        OTHER,
        *STREAM_CONDITIONS,
        *SASL_CONDITIONS,
        *STANZA_CONDITIONS,
    )
)
"""All causes: those above, and the conditions that RFC 6120 defines."""

_OF_ERRNO: Final = {
    errno.ECONNREFUSED: REFUSED,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.ENETUNREACH: UNREACHABLE,
    errno.EHOSTDOWN: UNREACHABLE,
    errno.ENETDOWN: UNREACHABLE,
    errno.EADDRNOTAVAIL: NO_LOCAL_PORT,
    errno.EMFILE: OUT_OF_FILES,
    errno.ENFILE: OUT_OF_FILES,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ECONNABORTED: RESET,
    errno.ETIMEDOUT: PEER_DEAD,
}


def of_condition(condition: str) -> str:
    """Return the cause of a stream, SASL or stanza error with this condition."""
    return condition if condition in CAUSES else UNDEFINED


def of_loss(error: Exception) -> str:
    """Return the cause of a failed or lost connection, from the transport's error."""
    known = getattr(error, "cause", None)
    return known or _OF_ERRNO.get(getattr(error, "errno", None) or 0, OTHER)


def of(error: BaseException) -> str:
    """Return the cause of the error that ended an attempt or a session."""
    found = getattr(error, "cause", SCENARIO)
    return found if found in CAUSES else SCENARIO
