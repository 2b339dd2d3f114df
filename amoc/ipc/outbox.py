"""The outbox, which batches messages to the other ends of features into few envelopes.

A message costs some 20 µs in each of three processes; a hundred in a batch cost little more than
one. So messages are held here, for a millisecond in a worker and until the loop's next turn in the
controller, and sent as one envelope for each part and addressee. A part that can summarize at the
last moment, such as the number of waiting users, does so in a callback right before the envelopes
are sent.

An envelope larger than `FULL_BYTES` is sent at once, which bounds the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gevent import get_hub

from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.worker_id import WorkerId

GATHER_S = 0.001
"""How long a worker gathers messages."""
FULL_BYTES = 64 << 10

M = TypeVar("M")


WorkerEnd = Callable[[memoryview], None]
"""A part's end in a worker, which is called with the body of each envelope for it."""
ControllerEnd = Callable[[WorkerId, memoryview], None]
"""A part's end in the controller, which is called with a worker and the body of its envelope."""


class Outbox:
    """Gathers packed messages and sends them in envelopes."""

    def __init__(
        self,
        send: Callable[[WorkerId, Envelope], object],
        gather_s: float = GATHER_S,
        sent: Callable[[], object] = lambda: None,
    ) -> None:
        """Gather messages for `gather_s`; with 0, until the loop's next turn.

        Args:
            send: Called with an envelope and the worker it names: the sender in a worker (unless it
                is mail), the addressee in the controller. Must not block.
            gather_s: How long to gather messages.
            sent: Called after `send` has been called for all envelopes of a flush.
        """
        self._send, self._sent = send, sent
        self._items: dict[tuple[Part, WorkerId], list[bytes]] = {}
        self._sizes: dict[tuple[Part, WorkerId], int] = {}
        self._last_moment: dict[Callable[[], None], None] = {}
        self._due = False
        self._timer = get_hub().loop.timer(gather_s) if gather_s else None

    def put(self, part: Part, worker: WorkerId, item: bytes) -> None:
        """Queue `item` for sending, after earlier ones for the same `part` and `worker`."""
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
        """Return a function that queues a message to `part` of a worker."""
        return lambda worker, message: self.put(part, worker, codec.pack(message))

    def at_flush(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, right before the next flush; it may put items."""
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
        """Send everything held, now."""
        self._due = True  # items put by callbacks must not schedule another flush
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
