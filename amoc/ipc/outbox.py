"""The outbox: what is said to the other end of each feature, gathered into few envelopes.

An event by itself is a message of some 20 µs at each of three processes; a hundred of them together
cost little more than one. So what is put here waits for company, a millisecond in a worker and
until the loop's next turn in the controller, and leaves as one envelope for each part and
addressee. A part that can say many things at once at the last moment (how many users wait, say)
does so in a callback right before the envelopes leave.

An envelope that grows beyond `FULL_BYTES` leaves at once, so what is held here stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from gevent import get_hub

from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.worker_id import WorkerId

GATHER_S = 0.001
"""How long a worker waits for company."""
FULL_BYTES = 64 << 10

M = TypeVar("M")


class WorkerEnd(Protocol):
    """A part's end in a worker."""

    def handle(self, body: memoryview, /) -> None:
        """Take an envelope of the other end."""


class ControllerEnd(Protocol):
    """A part's end in the controller."""

    def handle(self, worker: WorkerId, body: memoryview, /) -> None:
        """Take an envelope of a worker."""


class Outbox:
    """Gathers packed messages and sends them in envelopes."""

    def __init__(
        self,
        send: Callable[[WorkerId, Envelope], object],
        gather_s: float = GATHER_S,
        sent: Callable[[], object] = lambda: None,
    ) -> None:
        """Gather for `gather_s`; with 0, until the loop's next turn.

        Args:
            send: Takes an envelope and the worker it names: the sender in a worker (unless it is
                mail), the addressee in the controller. Never waits.
            gather_s: How long to wait for company.
            sent: Called when `send` was called for all that leaves at a time.
        """
        self._send, self._sent = send, sent
        self._items: dict[tuple[Part, WorkerId], list[bytes]] = {}
        self._sizes: dict[tuple[Part, WorkerId], int] = {}
        self._last_moment: dict[Callable[[], None], None] = {}
        self._due = False
        self._timer = get_hub().loop.timer(gather_s) if gather_s else None

    def put(self, part: Part, worker: WorkerId, item: bytes) -> None:
        """Send `item` soon, behind those that were put for the same `part` and `worker` before."""
        key = (part, worker)
        self._items.setdefault(key, []).append(item)
        size = self._sizes.get(key, 0) + len(item)
        self._sizes[key] = size
        if size >= FULL_BYTES:
            self._send_one(key)
            self._sent()
        elif not self._due:
            self._wake()

    def sender(self, part: Part, codec: Codec[M]) -> Callable[[WorkerId, M], None]:
        """A function that sends a message to `part` of a worker, soon."""
        return lambda worker, message: self.put(part, worker, codec.pack(message))

    def at_flush(self, callback: Callable[[], None]) -> None:
        """Call `callback`, once, right before what is held next leaves; it may put items."""
        self._last_moment[callback] = None
        if not self._due:
            self._wake()

    def _wake(self) -> None:
        self._due = True
        if self._timer is None:
            get_hub().loop.run_callback(self.flush)
        else:
            self._timer.start(self.flush)

    def flush(self) -> None:
        """Send all that is held, now."""
        self._due = True  # what the callbacks put must not wake us again
        callbacks, self._last_moment = self._last_moment, {}
        for callback in callbacks:
            callback()
        self._due = False
        if self._timer is not None:
            self._timer.stop()
        for key in list(self._items):
            self._send_one(key)
        self._sent()
        if self._last_moment:
            self._wake()

    def _send_one(self, key: tuple[Part, WorkerId]) -> None:
        part, worker = key
        body = b"".join(self._items.pop(key))
        del self._sizes[key]
        self._send(worker, Envelope.of(part, worker.worker, worker.incarnation, body))
