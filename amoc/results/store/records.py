"""Records in a file, each with a kind, a number and a checksum, and recoverable after damage.

A record is a mark, its kind, its number in the file (from 1), the length of its body, a CRC-32 of
these and of the body, and the body. After damage, reading continues at the next mark that begins a
whole record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MARK = b"\xf6am1"
"""Includes the version of the format that follows."""
MAX_BODY_BYTES = 64 << 20
_HEAD = struct.Struct("<4sBxxxII")
"""Mark, kind, number, length of the body."""
_CRC = struct.Struct("<I")
_HEAD_BYTES = _HEAD.size + _CRC.size
_SCAN_BYTES = 1 << 16


class Record(NamedTuple):
    """A record as it was written.

    Attributes:
        kind: Its kind.
        number: Its number in the file, from 1.
        at: The offset of its body in the file.
        body: Its contents.
    """

    kind: int
    number: int
    at: int
    body: bytes


def sealed(kind: int, number: int, body: bytes) -> bytes:
    """Return a record with its checksum."""
    head = _HEAD.pack(MARK, kind, number, len(body))
    return b"".join((head, _CRC.pack(zlib.crc32(body, zlib.crc32(head))), body))


def read(file: BinaryIO, end: int, at: int = 0) -> Iterator[Record | None]:
    """Yield the records between two offsets of a file; None for each damaged part.

    A torn record at the very end, as left by a process killed while writing, does not count as
    damage.
    """
    while at < end:
        record = _record(file, at, end)
        if record is not None:
            yield record
            at = record.at + len(record.body)
            continue
        begun_here = _begins(file, at)
        at = _next(file, at + 1, end)
        if at < end or not begun_here:
            yield None


def _record(file: BinaryIO, at: int, end: int) -> Record | None:
    """Return the record at an offset; None if there is no whole one."""
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    mark, kind, number, length = _HEAD.unpack_from(head)
    if mark != MARK or length > min(MAX_BODY_BYTES, end - at - _HEAD_BYTES):
        return None
    body = file.read(length)
    (crc,) = _CRC.unpack_from(head, _HEAD.size)
    if zlib.crc32(body, zlib.crc32(head[: _HEAD.size])) != crc:
        return None
    return Record(kind, number, at + _HEAD_BYTES, body)


def _begins(file: BinaryIO, at: int) -> bool:
    """Return whether an offset looks like the beginning of a record that exceeds the file."""
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return MARK.startswith(head[: len(MARK)])
    mark, _, _, length = _HEAD.unpack_from(head)
    return bool(mark == MARK) and len(file.read(min(length, MAX_BODY_BYTES + 1))) < length


def _next(file: BinaryIO, at: int, end: int) -> int:
    """Return the offset of the next whole record, or `end`."""
    while at < end:
        file.seek(at)
        some = file.read(min(_SCAN_BYTES, end - at))
        if not some:
            return end
        found = some.find(MARK)
        if found < 0:
            at += max(1, len(some) - len(MARK) + 1)
        elif _record(file, at + found, end) is not None:
            return at + found
        else:
            at += found + 1
    return end
