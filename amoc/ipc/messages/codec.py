"""Encoding of messages: msgpack, configured only here. Pure.

On the wire a message is an array of its name and its fields. An envelope is a byte string, so a
process that relays it neither decodes it nor packs it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar, get_args

import msgpack

from amoc.base.errors import PeerError
from amoc.ipc.messages.envelope import Envelope

UNREADABLE = (ValueError, TypeError, msgpack.UnpackException)
"""Raised by unpacking if the bytes are not msgpack."""
UNPACKABLE = (ValueError, TypeError, OverflowError)
"""Raised by packing if msgpack does not support a value, or an integer exceeds 64 bits."""
_MAX_PATH = 200

M = TypeVar("M")


class Codec(Generic[M]):
    """Encodes and decodes the messages of one link in one direction.

    Attributes:
        kinds: Their types by name.
    """

    def __init__(self, kinds: object) -> None:
        """Support the messages of `kinds`: a message type or a union of them."""
        self.kinds: dict[object, Callable[..., M]] = {
            getattr(kind, "__name__", ""): kind for kind in get_args(kinds) or (kinds,)
        }

    def from_wire(self, data: Any) -> M:  # Any: from another process, and checked here
        """Return the message for an array of its name and its fields, or an envelope's bytes.

        Raises:
            PeerError: It is not a valid message of this link.
        """
        try:
            if type(data) is bytes:
                message = self.kinds["Envelope"](data)
            else:
                name, *fields = data
                message = self.kinds[name](*fields)
        except (TypeError, ValueError, KeyError):
            raise PeerError(f"expected a known message, got {str(data)[:80]!r}") from None
        return message

    def pack(self, message: M) -> bytes:
        """Encode `message`."""
        if isinstance(message, Envelope):
            return pack(message.data)
        return pack([type(message).__name__, *message])  # type: ignore[misc]  # a named tuple

    def unpack(self, data: bytes) -> M:
        """Decode the result of `pack`.

        Raises:
            PeerError: It is not a valid message of this link.
        """
        return self.from_wire(unpack(data))

    def unpack_stream(self, body: bytes | memoryview) -> Iterator[M]:
        """Decode the messages of an envelope, in order.

        Raises:
            PeerError: The body is not a stream of valid messages of this link.
        """
        return map(self.from_wire, unpack_stream(body))


def packer() -> msgpack.Packer:
    """Return a packer that can be reused for many values, which is faster than `pack`."""
    # Text from a scenario may contain lone surrogates, and must get through all the same.
    return msgpack.Packer(unicode_errors="surrogatepass")


pack: Callable[[object], bytes] = partial(msgpack.packb, unicode_errors="surrogatepass")
"""Pack a value as msgpack."""


def culprit(value: object, path: str) -> str:
    """Return which part of `value`, named `path`, cannot be packed: ``Sample.counters.big``."""
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = zip(getattr(value, "_fields", count()), value, strict=False)
    for name, part in parts:
        try:
            pack(part)
        except UNPACKABLE:
            # The limit on the path ends the recursion into a value that contains itself.
            return culprit(part, f"{path}.{name}") if len(path) < _MAX_PATH else path[:_MAX_PATH]
    return path


def unpack(data: bytes | memoryview) -> Any:  # Any: what a process of amoc has packed
    """Unpack msgpack; arrays become lists.

    Raises:
        PeerError: `data` is not msgpack.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except UNREADABLE as error:
        raise PeerError(f"expected msgpack, got {bytes(data[:20])!r}: {error}") from None


def unpack_data(data: bytes) -> object:
    """Unpack data sent by a scenario; arrays become tuples.

    Raises:
        UNREADABLE: `data` is not msgpack.
    """
    return msgpack.unpackb(
        data, use_list=False, strict_map_key=False, unicode_errors="surrogatepass"
    )


def unpack_stream(  # Any: as for `unpack`
    body: bytes | memoryview, use_list: bool = True
) -> Iterator[Any]:
    """Yield the values of a stream of msgpack, in order.

    Raises:
        PeerError: `body` is not a stream of msgpack.
    """
    unpacker = msgpack.Unpacker(
        use_list=use_list,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        max_buffer_size=max(len(body), 1),
    )
    unpacker.feed(body)
    try:
        yield from unpacker
    except UNREADABLE as error:
        text = f"expected a stream of msgpack, got {bytes(body[:20])!r}: {error}"
        raise PeerError(text) from None
