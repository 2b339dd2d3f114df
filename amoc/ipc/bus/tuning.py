"""What a socket between hosts needs, on either side: a dead line is noticed, and made anew."""

from __future__ import annotations

import zmq

from amoc.base.clock import MS_NS
from amoc.ipc.bus import refusals

HEARTBEAT_MS = 1_000
SILENT_MS = 10_000
"""A connection over which nothing comes for so long is given up and made anew. Longer than a node
lives without its controller: what TCP still holds of a short cut arrives."""
RECONNECT_MS, MAX_RECONNECT_MS = 100, 1_000
CONNECT_MS = 2_000
"""How long an attempt to connect may take; the kernel alone would wait ever longer."""
MAX_MESSAGE_BYTES = 64 << 20


def tune(socket: zmq.Socket[bytes]) -> None:
    """Set these limits on `socket`."""
    socket.ipv6 = True
    socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT_MS, SILENT_MS
    socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, MAX_RECONNECT_MS
    socket.connect_timeout = CONNECT_MS
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, refusals.HANDSHAKE_NS // MS_NS)
