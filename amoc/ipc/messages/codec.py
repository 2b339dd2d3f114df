"""How a message becomes bytes and is read again: msgpack, set up here and nowhere else. Pure.

On the wire a message is an array: its name, then its fields. An envelope is its bytes, so a
process that relays it neither reads it nor packs it again.
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
"""What reading raises when the bytes are not msgpack."""
UNPACKABLE = (ValueError, TypeError, OverflowError)
"""What packing raises when a value is not one of msgpack's, or beyond its 64 bits."""
_MAX_PATH = 200

M = TypeVar("M")


class Codec(Generic[M]):
    """Packs and reads the messages that go one way over one link.

    Attributes:
        kinds: Their types, by name.
    """

    def __init__(self, kinds: object) -> None:
        """Know the messages of `kinds`: a message type, or a union of them."""
        self.kinds: dict[object, Any] = {
            getattr(kind, "__name__", ""): kind for kind in get_args(kinds) or (kinds,)
        }

    def to_wire(self, message: M) -> object:
        """`message` as what msgpack takes."""
        if isinstance(message, Envelope):
            return message.data
        return [type(message).__name__, *message]  # type: ignore[misc]  # a named tuple

    def from_wire(self, data: Any) -> M:
        """The message that `to_wire` made `data` of.

        Raises:
            PeerError: It is none that may come here.
        """
        try:
            if type(data) is bytes:
                message: M = self.kinds["Envelope"](data)
            else:
                name, *fields = data
                message = self.kinds[name](*fields)
        except (TypeError, ValueError, KeyError):
            raise PeerError(f"expected a known message, got {str(data)[:80]!r}") from None
        return message

    def pack(self, message: M) -> bytes:
        """`message` as bytes."""
        return pack(self.to_wire(message))

    def unpack(self, data: bytes) -> M:
        """The message that `pack` packed.

        Raises:
            PeerError: It is none that may come here.
        """
        return self.from_wire(unpack(data))

    def unpack_stream(self, body: bytes | memoryview) -> Iterator[M]:
        """The messages of an envelope, in order.

        Raises:
            PeerError: The body is not a stream of messages that may come here.
        """
        return map(self.from_wire, unpack_stream(body))


def packer() -> msgpack.Packer:
    """What packs value after value, faster than `pack`."""
    # A scenario may print, raise or be set to text that is not Unicode; it must get through.
    return msgpack.Packer(unicode_errors="surrogatepass")


pack: Callable[[object], bytes] = partial(msgpack.packb, unicode_errors="surrogatepass")
"""A value as msgpack."""


def culprit(value: object, path: str) -> str:
    """Which part of `value`, called `path`, is why it cannot be packed; ``Sample.counters.big``."""
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = zip(getattr(value, "_fields", count()), value, strict=False)
    for name, part in parts:
        try:
            pack(part)
        except UNPACKABLE:
            # What contains itself has no end.
            return culprit(part, f"{path}.{name}") if len(path) < _MAX_PATH else path[:_MAX_PATH]
    return path


def unpack(data: bytes | memoryview) -> Any:
    """What `pack` packed; arrays are lists.

    Raises:
        PeerError: `data` is not msgpack.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except UNREADABLE as error:
        raise PeerError(f"expected msgpack, got {bytes(data[:20])!r}: {error}") from None


def unpack_data(data: bytes) -> Any:
    """What a scenario has sent; arrays are tuples, for nothing is shared.

    Raises:
        UNREADABLE: `data` is not msgpack.
    """
    return msgpack.unpackb(
        data, use_list=False, strict_map_key=False, unicode_errors="surrogatepass"
    )


def unpack_stream(body: bytes | memoryview, use_list: bool = True) -> Iterator[Any]:
    """The values of a stream of msgpack, in order.

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
