"""Socket options for connections between hosts: detection of dead peers, and reconnection.

TCP keepalive detects dead peers. ZeroMQ's own heartbeats would be two thirds of all frames between
a controller and its nodes, and for each one ZeroMQ walks the timers of all its connections.
"""

from __future__ import annotations

import zmq

from amoc.base.clock import MS_NS
from amoc.ipc.bus import refusals

SILENT_S = 10
"""A connection without any answer from the other host for this long is dropped and made again.
Longer than a node survives without its controller, so that TCP still delivers after a short
network outage."""
IDLE_S, PROBE_S = 5, 1
"""Idle time before the first TCP keepalive probe, and the interval between probes."""
RECONNECT_MS, MAX_RECONNECT_MS = 100, 1_000
CONNECT_MS = 2_000
"""Timeout of an attempt to connect; the kernel alone would back off ever longer."""
BACKLOG = 4_096
"""Listen backlog, the kernel's default maximum. With ZeroMQ's 100, connections of many nodes that
start at once would be dropped and retried seconds later."""
MAX_MESSAGE_BYTES = 64 << 20


def tune(socket: zmq.Socket[bytes]) -> None:
    """Set these options on `socket`."""
    socket.ipv6 = True
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl = IDLE_S, PROBE_S
    socket.tcp_keepalive_cnt = SILENT_S - IDLE_S
    socket.setsockopt(zmq.TCP_MAXRT, SILENT_S * 1_000)  # for unacknowledged data
    socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, MAX_RECONNECT_MS
    socket.connect_timeout = CONNECT_MS
    socket.backlog = BACKLOG
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, refusals.HANDSHAKE_NS // MS_NS)
