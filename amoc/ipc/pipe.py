"""The line between node and supervisor: length-prefixed msgpack over a socketpair.

The supervisor has no hub and no ZeroMQ, so its end must work with plain file descriptors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from typing import Generic, TypeVar

from amoc.base.errors import PeerError
from amoc.ipc.messages.codec import Codec

_LENGTH = Struct("<I")
_MAX_BYTES = 64 << 20

M = TypeVar("M")


def encode(codec: Codec[M], message: M) -> bytes:
    """`message` as it goes over the line."""
    payload = codec.pack(message)
    return _LENGTH.pack(len(payload)) + payload


class Decoder(Generic[M]):
    """Cuts the messages out of what was read, however it was cut into pieces."""

    def __init__(self, codec: Codec[M]) -> None:
        self._codec = codec
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[M]:
        """The messages that are complete with `data`.

        Raises:
            PeerError: What arrives is not what `encode` makes.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _length(self._buffer)
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield self._codec.unpack(payload)


def _length(data: bytes | bytearray) -> int:
    """How long the message is that `data` begins with."""
    length: int = _LENGTH.unpack_from(data)[0]
    if length > _MAX_BYTES:
        raise PeerError(f"a message can have at most {_MAX_BYTES} bytes, got one of {length}")
    return length


def write(fd: int, codec: Codec[M], message: M) -> None:
    """Write `message` to a blocking descriptor, whole.

    Raises:
        OSError: The other end is gone.
    """
    data = memoryview(encode(codec, message))
    while data:
        data = data[os.write(fd, data) :]


def read_one(fd: int, codec: Codec[M]) -> M:
    """The next message of a blocking descriptor; nothing behind it is consumed.

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

    return codec.unpack(exactly(_length(exactly(_LENGTH.size))))
