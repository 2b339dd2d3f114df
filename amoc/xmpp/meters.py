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

connections = metrics.built_in(metrics.Counter, "connections")
"""Sessions that were established."""
connection_failures = metrics.built_in(metrics.Counter, "connection_failures")
"""Attempts that did not lead to a session."""
disconnections = metrics.built_in(metrics.Counter, "disconnections")
"""Sessions that ended unexpectedly."""
connected = metrics.built_in(metrics.Gauge, "connected")
"""Sessions that are open now."""
connection = metrics.built_in(metrics.Timer, "connection")
"""From the TCP connect to the bound session, of attempts that succeeded."""
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
