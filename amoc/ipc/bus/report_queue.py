"""A child's queue of packed reports, which are sent in batches of bounded size. Pure.

A report is packed when it is made, so its size is known and errors are raised in the caller. A
batch is a single frame: ``[child, number of the batch, acknowledged, [report, …]]``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from amoc.ipc.messages.codec import packer

FULL_BATCH = 100
"""A batch of this many reports is sent without waiting for more."""
MAX_BATCH_BYTES = 256 << 10
"""Maximum size of a batch of several reports; a single report may be larger."""


class ReportQueue:
    """Packed reports, in FIFO order.

    Attributes:
        items: Reports not yet in a batch.
        size: Their total size in bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self.items: deque[bytes] = deque()

    @property
    def full(self) -> bool:
        """Whether there is enough for a full batch."""
        return len(self.items) >= FULL_BATCH or self.size >= MAX_BATCH_BYTES

    def add(self, item: bytes) -> None:
        """Append a packed report."""
        self.items.append(item)
        self.size += len(item)

    def take(self) -> Sequence[bytes]:
        """Remove and return the next batch; empty if there is nothing."""
        if self.size <= MAX_BATCH_BYTES:
            taken, self.items, self.size = self.items, deque(), 0
            return taken
        batch = [self.items.popleft()]
        size = len(batch[0])
        while self.items and size + len(self.items[0]) <= MAX_BATCH_BYTES:
            item = self.items.popleft()
            batch.append(item)
            size += len(item)
        self.size -= size
        return batch


def pack_batch(child: str, number: int, acknowledged: int, items: Sequence[bytes]) -> bytes:
    """Return a batch as a single frame."""
    one = packer()
    head = one.pack_array_header(4), one.pack(child), one.pack(number), one.pack(acknowledged)
    return b"".join((*head, one.pack_array_header(len(items)), *items))
