"""A second of a run as the body of a record: deflated JSON facts, and packed timers. Pure.

Little but numbers changes from one second to the next. So facts are deflated with those of an
earlier second, the key, as a dictionary; the key is identified by its record number, 0 for none.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from typing import TypeVar

from amoc.base import json_lines
from amoc.results.series import Point
from amoc.results.store.packed import PackedTimers, deflated

SECOND, BLOCK = 1, 2
"""Kinds of records."""
P = TypeVar("P", bound=Point)
_SIZES = struct.Struct("<II")
"""Number of the key, and size of the facts in bytes."""
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def facts_of(point: Point, timers: Iterable[str]) -> bytes:
    """Return a point as JSON, with only the names of timers."""
    facts = {**point.facts(), "timers": list(timers)}
    return _encode(facts).encode()


def body(facts: bytes, key: int, dictionary: bytes, groups: bytes) -> bytes:
    """Return the body of a record.

    Args:
        facts: The result of `facts_of`.
        key: The number of the record whose facts are the dictionary; 0 for none.
        dictionary: The facts of that record.
        groups: The packed timers.
    """
    packed = deflated(facts, dictionary)
    return b"".join((_SIZES.pack(key, len(packed)), packed, groups))


def key_of(record: bytes) -> int:
    """Return the number of the record needed to read a body; 0 if none is."""
    return int(_SIZES.unpack_from(record)[0])


def read_facts(record: bytes, dictionary: bytes) -> bytes:
    """Return the facts in a body.

    Raises:
        ValueError: There are none.
    """
    try:
        _, length = _SIZES.unpack_from(record)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=dictionary)
        return unpacker.decompress(record[_SIZES.size : _SIZES.size + length])
    except (struct.error, zlib.error) as error:
        raise ValueError(f"not a second: {error}") from None


def read_point(record: bytes, facts: bytes, kind: type[P]) -> P:
    """Return the point of a body with these facts.

    Raises:
        ValueError: It is not a point.
    """
    found = json_lines.parse(facts)
    if found is None:
        raise ValueError("not the facts of a point")
    timers = found.pop("timers", [])
    if not isinstance(timers, list):
        raise ValueError("timers are not a list")
    begin = _SIZES.size + _SIZES.unpack_from(record)[1]
    return kind.from_json(found, PackedTimers([*map(str, timers)], record[begin:]))
