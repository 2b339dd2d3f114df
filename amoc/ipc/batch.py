"""Reports gather, and leave in batches of a bounded size. Pure.

A report is packed when it is made, so its size is known and what cannot be packed is the reporter's
error. A batch is one message: ``[child, number of the batch, acknowledged, [report, …]]``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgpack

from amoc.ipc import messages

FULL_BATCH = 100
"""Reports that need not wait for more company."""
MAX_BATCH_BYTES = 256 << 10
"""A batch leaves no room for a further report beyond this; a single report may be larger."""


class Batch:
    """Packed reports, first in, first out.

    Attributes:
        size: What they take, in bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._items: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether it is worth a batch already."""
        return len(self._items) >= FULL_BATCH or self.size >= MAX_BATCH_BYTES

    def add(self, record: messages.Record) -> None:
        """Put a report behind the others."""
        item = messages.pack_item(record)
        self._items.append(item)
        self.size += len(item)

    def take(self) -> Sequence[bytes]:
        """The next batch, taken out; empty when there is nothing."""
        if self.size <= MAX_BATCH_BYTES:
            taken, self._items, self.size = self._items, deque(), 0
            return taken
        batch = [self._items.popleft()]
        size = len(batch[0])
        while self._items and size + len(self._items[0]) <= MAX_BATCH_BYTES:
            item = self._items.popleft()
            batch.append(item)
            size += len(item)
        self.size -= size
        return batch


def pack_batch(child: str, number: int, acknowledged: int, items: Sequence[bytes]) -> bytes:
    """A batch as one message."""
    packer = msgpack.Packer()
    head = packer.pack_array_header(4), packer.pack(child), packer.pack(number)
    return b"".join(
        (*head, packer.pack(acknowledged), packer.pack_array_header(len(items)), *items)
    )
