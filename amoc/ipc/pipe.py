"""The line between node and supervisor: length-prefixed msgpack over a socketpair.

The supervisor has no hub and no ZeroMQ, so its end must work with plain file descriptors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct

from amoc.base.errors import PeerError
from amoc.ipc import messages

_LENGTH = Struct("<I")
_MOST = 64 << 20


def encode(record: messages.Record) -> bytes:
    """`record` as it goes over the line."""
    payload = messages.pack(messages.to_wire(record))
    return _LENGTH.pack(len(payload)) + payload


class Decoder:
    """Cuts the records out of what was read, however it was cut into pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[messages.Record]:
        """The records that are complete with `data`.

        Raises:
            PeerError: What arrives is not what `encode` makes.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _MOST:
                raise PeerError(f"a message has at most {_MOST} bytes, but one announces {length}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield messages.from_wire(messages.unpack(payload))


def write(fd: int, record: messages.Record) -> None:
    """Write `record` to a blocking descriptor, whole.

    Raises:
        OSError: The other end is gone.
    """
    data = memoryview(encode(record))
    while data:
        data = data[os.write(fd, data) :]


def read_one(fd: int) -> messages.Record:
    """The next record of a blocking descriptor; nothing behind it is consumed.

    Raises:
        PeerError: The other end is gone.
    """

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = os.read(fd, count - len(data))
            if not piece:
                raise PeerError("the other end of the line is gone")
            data += piece
        return data

    (length,) = _LENGTH.unpack(exactly(_LENGTH.size))
    if length > _MOST:
        raise PeerError(f"a message has at most {_MOST} bytes, but one announces {length}")
    return messages.from_wire(messages.unpack(exactly(length)))
