"""Deflates the contents of a record with no more memory than needed. Pure."""

from __future__ import annotations

import zlib

_AHEAD = 262
"""zlib's window is shorter by this many bytes than its memory allows."""


def deflated(
    data: bytes, dictionary: bytes = b"", strategy: int = zlib.Z_DEFAULT_STRATEGY
) -> bytes:
    """Deflate `data` without a header; `dictionary` is needed to inflate it."""
    # Preparing the memory for 32 kB takes longer than packing a few hundred bytes.
    bits = min(zlib.MAX_WBITS, (len(dictionary) + len(data) + _AHEAD).bit_length())
    packer = zlib.compressobj(6, zlib.DEFLATED, -bits, bits - 7, strategy, dictionary)
    return packer.compress(data) + packer.flush()
