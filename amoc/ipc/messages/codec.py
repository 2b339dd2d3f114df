"""How a message becomes bytes and is read again: msgpack, set up here and nowhere else. Pure.

On the wire a message is an array: its name, then its fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from amoc.base.errors import PeerError
from amoc.ipc.messages import coordinator, lifecycle, rpc, samples, throttle, users

Record = Any
"""One of the messages."""

_TYPES: dict[str, Any] = {
    name: kind
    for module in (coordinator, lifecycle, rpc, samples, throttle, users)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
}


def to_wire(record: Record) -> list[Any]:
    """`record` as what msgpack takes: its name and its fields."""
    return [type(record).__name__, *record]


def from_wire(data: Any) -> Record:
    """The record that `to_wire` made `data` of.

    Raises:
        PeerError: It is none that we know.
    """
    try:
        name, *fields = data
        return _TYPES[name](*fields)
    except (TypeError, ValueError, KeyError):
        raise PeerError(f"a message must be a known record, but is {str(data)[:80]!r}") from None


def pack(data: Any) -> bytes:
    """`data` as msgpack."""
    # A scenario may print, raise or be set to text that is not Unicode; it must get through.
    packed: bytes = msgpack.packb(data, unicode_errors="surrogatepass")
    return packed


def pack_item(record: Record) -> bytes:
    """`record` as one item of an envelope's body."""
    return pack(to_wire(record))


def unpack_stream(body: bytes) -> Iterator[Record]:
    """The records of an envelope's body, in order.

    Raises:
        PeerError: The body is not a stream of known records.
    """
    unpacker = msgpack.Unpacker(
        strict_map_key=False, unicode_errors="surrogatepass", max_buffer_size=max(len(body), 1)
    )
    unpacker.feed(body)
    try:
        for item in unpacker:
            yield from_wire(item)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise PeerError(f"an envelope must be a stream of msgpack, but {error}") from None


def unpack(data: bytes) -> Any:
    """What `pack` packed.

    Raises:
        PeerError: `data` is not msgpack.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError) as error:
        raise PeerError(f"a message must be msgpack, but {error}") from None
