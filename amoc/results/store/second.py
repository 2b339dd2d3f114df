"""A second of a run as the body of a record: facts as JSON, deflated, and timers packed. Pure.

From one second to the next little but numbers changes. So facts are deflated with those of an
earlier second, the key, as a dictionary; it is named by the number of its record, 0 for none.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from typing import TypeVar

from amoc.base import json_lines
from amoc.results.series import Point
from amoc.results.store.deflate import deflated
from amoc.results.store.packed import PackedTimers

SECOND, BLOCK = 1, 2
"""Kinds of records."""
P = TypeVar("P", bound=Point)
_SIZES = struct.Struct("<II")
"""Number of the key, bytes of the facts."""
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def facts_of(point: Point, timers: Iterable[str]) -> bytes:
    """What a point says, with the names of timers only."""
    facts = {**point.facts(), "timers": list(timers)}
    return _encode(facts).encode()


def body(facts: bytes, key: int, dictionary: bytes, groups: bytes) -> bytes:
    """The body of a record.

    Args:
        facts: As `facts_of` gives them.
        key: The number of the record whose facts are the dictionary; 0 for none.
        dictionary: Those.
        groups: The timers, packed.
    """
    packed = deflated(facts, dictionary)
    return b"".join((_SIZES.pack(key, len(packed)), packed, groups))


def key_of(record: bytes) -> int:
    """The number of the record that is needed to read a body; 0 if none is."""
    return int(_SIZES.unpack_from(record)[0])


def read_facts(record: bytes, dictionary: bytes) -> bytes:
    """The facts in a body.

    Raises:
        ValueError: It has none.
    """
    try:
        _, length = _SIZES.unpack_from(record)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=dictionary)
        return unpacker.decompress(record[_SIZES.size : _SIZES.size + length])
    except (struct.error, zlib.error) as error:
        raise ValueError(f"not a second: {error}") from None


def read_point(record: bytes, facts: bytes, kind: type[P]) -> P:
    """The point of a body with these facts.

    Raises:
        ValueError: It is none.
    """
    found = json_lines.parse(facts)
    if found is None:
        raise ValueError("not the facts of a point")
    begin = _SIZES.size + _SIZES.unpack_from(record)[1]
    return kind.from_json(found, PackedTimers(found.pop("timers", ()), record[begin:]))
