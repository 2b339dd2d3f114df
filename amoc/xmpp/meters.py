"""What every XMPP client measures automatically, and the stamp for the time to delivery.

A message's id carries when it was sent, on the monotonic clock that all processes of a host share,
and which host's clock that is: servers hand ids on unchanged. A stamp of another clock, of another
host or of a time before the last boot, is not taken for a duration.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from time import monotonic_ns
from typing import Final

from amoc import metrics
from amoc.metrics import connection_names, optional
from amoc.xmpp import causes

connections = metrics.built_in(metrics.Counter, connection_names.CONNECTIONS)
"""Sessions that were established."""
connection_failures = metrics.built_in(metrics.Counter, connection_names.FAILURES)
"""Attempts that failed; also by cause, see `amoc.xmpp.causes`."""
connections_given_up = metrics.built_in(metrics.Counter, "connections_given_up")
"""Calls of `connect` that failed for good, after one failed attempt or several."""
connections_cancelled = metrics.built_in(metrics.Counter, connection_names.CANCELLED)
"""Calls of `connect` that ended without a session because their user was to stop, or was killed."""
redirects = metrics.built_in(metrics.Counter, "redirects")
"""Times that a server sent a user to another host (see-other-host) and the user went there."""
disconnections = metrics.built_in(metrics.Counter, "disconnections")
"""Sessions that ended unexpectedly; also by cause."""
closes_unfinished = metrics.built_in(metrics.Counter, connection_names.CLOSES_UNFINISHED)
"""Streams that a user closed and whose server did not close its half."""
connecting = metrics.built_in(metrics.Gauge, "connecting")
"""Users inside `connect` now, pauses between attempts included."""
connected = metrics.built_in(metrics.Gauge, "connected")
"""Sessions that are open now."""
connection = metrics.built_in(metrics.Timer, "connection")
"""From the TCP connect to the bound session, of attempts that succeeded."""
tls_handshake = metrics.built_in(metrics.Timer, "tls_handshake")
"""From the first to the last byte of a TLS handshake that succeeded."""
tls_handshakes_resumed = metrics.built_in(metrics.Counter, "tls_handshakes_resumed")
"""Handshakes that resumed an earlier session."""
tls_unverified = metrics.built_in(metrics.Counter, connection_names.TLS_UNVERIFIED)
"""Handshakes in which the server's certificate was not checked (xmpp_tls_verify=false)."""
messages_sent = metrics.built_in(metrics.Counter, "messages_sent")
"""Messages handed to the connection, errors apart."""
messages_received = metrics.built_in(metrics.Counter, "messages_received")
"""Messages read from the connection, errors apart."""
message_errors = metrics.built_in(metrics.Counter, "message_errors")
"""Messages of type error that were received, such as bounced ones."""
message_ttd = metrics.built_in(metrics.Timer, "message_ttd")
"""Time to delivery: from `send_chat` to the reading of the bytes by the receiver's process."""
rooms_joined = metrics.built_in(metrics.Gauge, "rooms_joined")
"""Rooms that users are in now; each user counts in each of its rooms."""
rooms_lost = metrics.built_in(metrics.Counter, "rooms_lost")
"""Users that were put out of a room: kicked or banned, or the room was closed to them."""
inbox_dropped = metrics.built_in(metrics.Counter, "inbox_dropped")
"""Stanzas that were dropped from a full inbox to make room for newer ones."""


def attempt_failed(error: BaseException) -> None:
    """Count a failed attempt, in all and by its cause."""
    _count_by_cause(connection_failures, error)


def disconnected(error: BaseException) -> None:
    """Count a lost session, in all and by its cause."""
    _count_by_cause(disconnections, error)


def _count_by_cause(total: metrics.Counter, error: BaseException) -> None:
    total.inc()
    # One that has no room is not counted: a failure must not fail for another reason.
    optional.counter(f"{total.name}.{causes.of(error)}", kept_free=0).inc()


def _clock() -> str:
    """A word for this host's monotonic clock since its last boot."""
    found = b""
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/timens_offsets"):
        try:
            found += Path(source).read_bytes()
        except OSError:
            continue
    # Where clocks cannot be told apart, only processes forked from one another compare theirs.
    return f"{zlib.crc32(found or os.urandom(8)):08x}"


_PREFIX: Final = _clock() + "."
_MAX_DIGITS: Final = 20


def stamp() -> str:
    """An id for a message that is sent now, by which its receiver measures the time to delivery."""
    return f"{_PREFIX}{monotonic_ns()}"


def sent_ns(stanza_id: str | None) -> int | None:
    """When a message with this id was sent, on this host's clock; None when it does not say."""
    if stanza_id is None or not stanza_id.startswith(_PREFIX):
        return None
    digits = stanza_id[len(_PREFIX) :]
    if len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)
