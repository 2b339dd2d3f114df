"""The envelope: what one end of a feature says to the other, in bytes of its own. Pure.

The header is of a fixed size, so a node sees where an envelope goes without unpacking it, and
passes it on as it came.
"""

import struct
from enum import IntEnum
from typing import NamedTuple, Self

from amoc.base.errors import PeerError

_HEADER = struct.Struct("<BHI")
"""Part, worker and incarnation."""


class Part(IntEnum):
    """Whose envelope it is."""

    THROTTLE = 0
    COORDINATOR = 1
    CALLS = 2
    """A scenario calls the controller."""
    CONTROL = 3
    """The controller gives the workers orders."""
    MAIL = 4
    """From worker to worker, as what libraries say; all others are the controller's, too."""
    EVENTS = 5
    """The controller's events, for subscribers of the scenario."""
    LIBRARY = 6
    """From a library's part in a worker to its part in another one."""
    FEED = 7


class Envelope(NamedTuple):
    """Both ways: packed messages of one part."""

    data: bytes

    @classmethod
    def of(cls, part: Part, worker: int, incarnation: int, body: bytes) -> Self:
        """Put `body` into an envelope.

        Args:
            part: Whose it is.
            worker: The worker's index: the sender's on the way up, the addressee's on the way down
                and in mail.
            incarnation: Which life of it; 0 means whichever there is.
            body: A stream of messages, as `Codec.unpack_stream` reads it.
        """
        return cls(_HEADER.pack(part, worker, incarnation) + body)

    def header(self) -> tuple[Part, int, int]:
        """Part, worker and incarnation.

        Raises:
            PeerError: It has none, or one that is unknown.
        """
        try:
            part, worker, incarnation = _HEADER.unpack_from(self.data)
            return _PARTS[part], worker, incarnation
        except (struct.error, IndexError):
            raise PeerError(f"expected an envelope, got {self.data[:20]!r}") from None

    @property
    def body(self) -> memoryview:
        """What is in it."""
        return memoryview(self.data)[_HEADER.size :]


BETWEEN_WORKERS = frozenset({Part.MAIL, Part.LIBRARY})
"""What goes from worker to worker."""
_PARTS = tuple(Part)
