"""A cable that delays, loses and reorders frames, for kernels without netem.

    python bad_cable.py PORT TAP DELAY_MS JITTER_MS LOSS

Carries frames between the network interface PORT and a new one, TAP, in both directions. Each frame
is lost with the probability LOSS, or else delayed by DELAY_MS and up to JITTER_MS more, which lets
frames overtake each other. Prints ``ready`` once TAP exists, answers each line of its standard
input with the counts of frames as a line of JSON, and exits at the end of its input.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from contextlib import suppress

MAX_FRAMES = 20_000
"""Most frames on their way at a time; further ones are lost, and counted as ``overflowed``."""
_TUNSETIFF = 0x400454CA
_TAP, _NO_PACKET_INFO, _VNET_HEADER = 0x0002, 0x1000, 0x4000
_SOL_PACKET, _PACKET_VNET_HDR, _ETH_P_ALL = 263, 15, 3
# More than a frame: with virtio headers, both interfaces pass data not yet split into frames.
_MAX_BYTES = 1 << 17


def _port(name: str) -> socket.socket:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    port.bind((name, _ETH_P_ALL))
    port.setblocking(False)
    return port


def _tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    wanted = struct.pack("16sH", name.encode(), _TAP | _NO_PACKET_INFO | _VNET_HEADER)
    fcntl.ioctl(tap, _TUNSETIFF, wanted.ljust(40, b"\0"))
    return tap


def main(port_name: str, tap_name: str, delay_ms: str, jitter_ms: str, loss: str) -> None:
    """Carry frames until standard input ends."""
    port, tap = _port(port_name), _tap(tap_name)
    delay_s, jitter_s = float(delay_ms) / 1000, float(jitter_ms) / 1000
    counts = dict.fromkeys(("carried", "lost", "overtaken", "overflowed"), 0)
    dice = random.Random(port_name)
    waiting: list[tuple[float, int, bool, bytes]] = []
    latest = {True: 0, False: 0}
    number = 0
    poll = select.poll()
    for one in (0, port.fileno(), tap):
        poll.register(one, select.POLLIN)
    print("ready", flush=True)
    while True:
        due_ms = max(0.0, waiting[0][0] - time.monotonic()) * 1000 if waiting else None
        for source, _ in poll.poll(due_ms):
            if source == 0:
                if not os.read(0, 4096):
                    return
                print(json.dumps(counts), flush=True)
                continue
            with suppress(OSError):  # there is nothing to read, or the interface is down
                if source == tap:
                    frame = os.read(tap, _MAX_BYTES)
                else:
                    frame, address = port.recvfrom(_MAX_BYTES)
                    if address[2] == socket.PACKET_OUTGOING:  # type: ignore[attr-defined]
                        continue
                if dice.random() < float(loss):
                    counts["lost"] += 1
                elif len(waiting) >= MAX_FRAMES:
                    counts["overflowed"] += 1
                else:
                    number += 1
                    due_s = time.monotonic() + delay_s + dice.random() * jitter_s
                    heapq.heappush(waiting, (due_s, number, source == tap, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, sent, to_port, frame = heapq.heappop(waiting)
            counts["carried"] += 1
            counts["overtaken"] += sent < latest[to_port]
            latest[to_port] = max(latest[to_port], sent)
            with suppress(OSError):  # the interface is down
                if to_port:
                    port.send(frame)
                else:
                    os.write(tap, frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
