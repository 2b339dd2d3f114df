"""What a socket between hosts needs, on either side: a dead line is noticed, and made anew.

The kernel looks for dead lines. ZeroMQ's own heartbeats would be two thirds of all frames between a
controller and its nodes, and for each it goes through the timers of all its connections.
"""

from __future__ import annotations

import zmq

from amoc.base.clock import MS_NS
from amoc.ipc.bus import refusals

SILENT_S = 10
"""A connection whose other host answers nothing for so long is given up and made anew. Longer than
a node lives without its controller: what TCP still holds of a short cut arrives."""
IDLE_S, PROBE_S = 5, 1
"""When TCP asks for an answer over a line on which nothing passes, and how often from then on."""
RECONNECT_MS, MAX_RECONNECT_MS = 100, 1_000
CONNECT_MS = 2_000
"""How long an attempt to connect may take; the kernel alone would wait ever longer."""
BACKLOG = 4_096
"""Connections that may wait to be taken. Of nodes that all begin at once the kernel would drop what
is beyond ZeroMQ's 100, and they would try again seconds later; by default it allows 4,096."""
MAX_MESSAGE_BYTES = 64 << 20


def tune(socket: zmq.Socket[bytes]) -> None:
    """Set these limits on `socket`."""
    socket.ipv6 = True
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl = IDLE_S, PROBE_S
    socket.tcp_keepalive_cnt = SILENT_S - IDLE_S
    socket.setsockopt(zmq.TCP_MAXRT, SILENT_S * 1_000)  # of what was sent and is not acknowledged
    socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, MAX_RECONNECT_MS
    socket.connect_timeout = CONNECT_MS
    socket.backlog = BACKLOG
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, refusals.HANDSHAKE_NS // MS_NS)
