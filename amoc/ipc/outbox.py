"""The outbox: what the parts of a worker have to say, gathered into few parcels.

An event by itself is a message of some 20 µs at each of three processes; a hundred of them together
cost little more than one. So what is put here waits about a millisecond for company, and leaves as
one parcel for each part and addressee. A part that can say many things at once at the last moment
(how many users wait, say) does so in a callback right before the parcels leave.

A parcel that grows beyond `FULL_BYTES` leaves at once, so what is held here stays small.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent import get_hub

from amoc.ipc.messages import Envelope

GATHER_S = 0.001
FULL_BYTES = 64 << 10


class Outbox:
    """Gathers items and sends them as parcels."""

    def __init__(self, incarnation: int, send: Callable[[Envelope], None]) -> None:
        """Gather for a worker; `send` takes a parcel and never waits."""
        self._incarnation = incarnation
        self._send = send
        self._items: dict[tuple[str, int], list[bytes]] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._last_moment: list[Callable[[], None]] = []
        self._due = False
        self._timer = get_hub().loop.timer(GATHER_S)

    def put(self, part: str, worker: int, item: bytes) -> None:
        """Send `item` soon, behind those that were put for the same `part` and `worker` before."""
        key = (part, worker)
        self._items.setdefault(key, []).append(item)
        size = self._sizes.get(key, 0) + len(item)
        self._sizes[key] = size
        if size >= FULL_BYTES:
            self._send_one(key)
        elif not self._due:
            self._wake()

    def at_flush(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, right before what is held leaves; it may put items."""
        self._last_moment.append(callback)
        if not self._due:
            self._wake()

    def _wake(self) -> None:
        self._due = True
        self._timer.start(self.flush)

    def flush(self) -> None:
        """Send all that is held, now."""
        self._due = True  # what the callbacks put must not wake us again
        callbacks, self._last_moment = self._last_moment, []
        for callback in callbacks:
            callback()
        self._due = False
        self._timer.stop()
        for key in list(self._items):
            self._send_one(key)
        if self._last_moment:
            self._wake()

    def _send_one(self, key: tuple[str, int]) -> None:
        part, worker = key
        body = b"".join(self._items.pop(key))
        del self._sizes[key]
        # Mail goes to whichever incarnation is up; all else says which one it comes from.
        self._send(Envelope(part, worker, 0 if part == "mail" else self._incarnation, body))
