"""What a child has to report, packed, leaves in batches of a bounded size. Pure.

A report is packed when it is made, so its size is known, and what cannot be packed is known there.
A batch is one frame: ``[child, number of the batch, acknowledged, [report, …]]``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from amoc.ipc.messages.codec import packer

FULL_BATCH = 100
"""Reports that need not wait for more company."""
MAX_BATCH_BYTES = 256 << 10
"""A batch leaves no room for a further report beyond this; a single report may be larger."""


class ReportQueue:
    """Packed reports, first in, first out.

    Attributes:
        items: Those that no batch has yet.
        size: What they take, in bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self.items: deque[bytes] = deque()

    @property
    def full(self) -> bool:
        """Whether it is worth a batch already."""
        return len(self.items) >= FULL_BATCH or self.size >= MAX_BATCH_BYTES

    def add(self, item: bytes) -> None:
        """Put a packed report behind the others."""
        self.items.append(item)
        self.size += len(item)

    def take(self) -> Sequence[bytes]:
        """The next batch, taken out; empty when there is nothing."""
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
    """A batch as one frame."""
    one = packer()
    head = one.pack_array_header(4), one.pack(child), one.pack(number), one.pack(acknowledged)
    return b"".join((*head, one.pack_array_header(len(items)), *items))
