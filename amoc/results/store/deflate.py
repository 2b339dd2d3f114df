"""Deflating what a record holds, in no more memory than it takes. Pure."""

from __future__ import annotations

import zlib

_AHEAD = 262
"""Bytes by which zlib looks back less far than it has memory for."""


def deflated(
    data: bytes, dictionary: bytes = b"", strategy: int = zlib.Z_DEFAULT_STRATEGY
) -> bytes:
    """`data`, deflated, without a header; `dictionary` is needed to inflate it."""
    # To prepare the memory for 32 kB takes longer than to pack a few 100 bytes.
    bits = min(zlib.MAX_WBITS, (len(dictionary) + len(data) + _AHEAD).bit_length())
    packer = zlib.compressobj(6, zlib.DEFLATED, -bits, bits - 7, strategy, dictionary)
    return packer.compress(data) + packer.flush()
