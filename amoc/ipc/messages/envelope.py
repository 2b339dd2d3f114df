"""Envelopes, which carry packed messages between the two ends of a feature. Pure.

The header has a fixed size, so a node can route an envelope without unpacking it, and forwards it
unchanged.
"""

import struct
from enum import IntEnum
from typing import NamedTuple, Self

from amoc.base.errors import PeerError

_HEADER = struct.Struct("<BHI")
"""Part, worker and incarnation."""


class Part(IntEnum):
    """The feature that an envelope belongs to."""

    THROTTLE = 0
    COORDINATOR = 1
    CALLS = 2
    """Calls of a scenario to the controller."""
    CONTROL = 3
    """Orders of the controller to workers."""
    MAIL = 4
    """Between workers, like LIBRARY; all others are between a worker and the controller."""
    EVENTS = 5
    """Events of the controller, for subscribers of the scenario."""
    LIBRARY = 6
    """Between the parts of a library in two workers."""
    FEED = 7


class Envelope(NamedTuple):
    """Both ways: packed messages of one part."""

    data: bytes

    @classmethod
    def of(cls, part: Part, worker: int, incarnation: int, body: bytes) -> Self:
        """Put `body` into an envelope.

        Args:
            part: The feature.
            worker: The index of a worker: the sender on the way up, the addressee on the way down
                and in mail.
            incarnation: The life of that worker; 0 means the current one.
            body: A stream of messages, as read by `Codec.unpack_stream`.
        """
        return cls(_HEADER.pack(part, worker, incarnation) + body)

    def header(self) -> tuple[Part, int, int]:
        """Return part, worker and incarnation.

        Raises:
            PeerError: The header is missing or invalid.
        """
        try:
            part, worker, incarnation = _HEADER.unpack_from(self.data)
            return _PARTS[part], worker, incarnation
        except (struct.error, IndexError):
            raise PeerError(f"expected an envelope, got {self.data[:20]!r}") from None

    @property
    def body(self) -> memoryview:
        """The packed messages."""
        return memoryview(self.data)[_HEADER.size :]


BETWEEN_WORKERS = frozenset({Part.MAIL, Part.LIBRARY})
"""Parts whose envelopes go from worker to worker."""
_PARTS = tuple(Part)
