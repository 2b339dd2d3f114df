"""The link between node and supervisor: length-prefixed msgpack over a socketpair.

The supervisor has neither a hub nor ZeroMQ, so its end uses plain file descriptors.
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
    """Return `message` in its wire format."""
    payload = codec.pack(message)
    return _LENGTH.pack(len(payload)) + payload


class Decoder(Generic[M]):
    """Extracts messages from a stream read in arbitrary pieces."""

    def __init__(self, codec: Codec[M]) -> None:
        self._codec = codec
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[M]:
        """Yield the messages completed by `data`.

        Raises:
            PeerError: The stream is not in the format of `encode`.
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
    """Return the length of the message at the beginning of `data`."""
    length: int = _LENGTH.unpack_from(data)[0]
    if length > _MAX_BYTES:
        raise PeerError(f"a message must be at most {_MAX_BYTES} bytes, got {length}")
    return length


def write(fd: int, codec: Codec[M], message: M) -> None:
    """Write all of `message` to a blocking descriptor.

    Raises:
        OSError: The other end was closed.
    """
    data = memoryview(encode(codec, message))
    while data:
        data = data[os.write(fd, data) :]


def read_one(fd: int, codec: Codec[M]) -> M:
    """Read the next message from a blocking descriptor, and nothing beyond it.

    Raises:
        PeerError: The other end was closed.
    """

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = os.read(fd, count - len(data))
            if not piece:
                raise PeerError("the other end of the link was closed")
            data += piece
        return data

    return codec.unpack(exactly(_length(exactly(_LENGTH.size))))
