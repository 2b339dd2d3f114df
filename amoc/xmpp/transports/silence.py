"""Connections lost as if this host had crashed: reset, or silent.

A silent connection stays open in our kernel, but a filter drops every incoming packet before TCP
sees it: nothing is acknowledged, no keep-alive is answered, and no end of the connection is sent.
So to the server the host is unresponsive, as after a power failure or in a tunnel. (A socket that
is merely not read would still acknowledge and answer.) This lasts until the process ends, for
`SILENT_S`, or until `MAX_SILENT` newer connections are silent; then the connection is reset.
"""

from __future__ import annotations

import ctypes
import socket as constants
import struct
from _socket import socket as Socket  # noqa: N812 - the plain class, even if patched
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from gevent import get_hub

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

SILENT_S: Final = 600.0
MAX_SILENT: Final = 1000
"""Maximum silent connections per process; each keeps its file descriptor."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)
# One classic BPF instruction, "return 0": keep zero bytes of every packet.
_RETURN_ZERO: Final = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_DROP_ALL: Final = struct.pack("HP", 1, ctypes.addressof(_RETURN_ZERO))


def reset(sock: Socket) -> None:
    """Close `sock` with a reset (RST)."""
    sock.setsockopt(constants.SOL_SOCKET, constants.SO_LINGER, _NO_LINGER)
    sock.close()


class SilentSockets:
    """Holds the silent sockets of this process."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Socket]] = deque()
        self._timer: _TimerWatcher | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, sock: Socket) -> None:
        """Silence `sock`, which must be connected."""
        try:
            # No probes and no timeout: after giving up, the kernel would answer with resets.
            sock.setsockopt(constants.SOL_SOCKET, constants.SO_KEEPALIVE, 0)
            sock.setsockopt(constants.IPPROTO_TCP, constants.TCP_USER_TIMEOUT, 0)
            sock.setsockopt(
                constants.SOL_SOCKET, getattr(constants, "SO_ATTACH_FILTER", 26), _DROP_ALL
            )
        except OSError:
            reset(sock)  # for example, no longer connected
            return
        if len(self._kept) >= MAX_SILENT:
            reset(self._kept.popleft()[1])
        self._kept.append((monotonic() + SILENT_S, sock))
        if self._timer is None:
            self._timer = get_hub().loop.timer(SILENT_S, SILENT_S / 10, ref=False)
            self._timer.start(self._end_overdue)

    def _end_overdue(self) -> None:
        now = monotonic()
        while self._kept and self._kept[0][0] <= now:
            reset(self._kept.popleft()[1])
        if not self._kept and self._timer is not None:
            self._timer.close()
            self._timer = None


SILENT_SOCKETS: Final = SilentSockets()
