"""Pure. Decompression of bodies (gzip, deflate, Brotli, Zstandard), whole or piece by piece.

The output is limited: a few compressed bytes can expand to gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, Final, Protocol


def _optional(name: str) -> Any:  # Any: neither module has types
    """Import a module of the extra ``amoc[http]``; None if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


brotli = _optional("brotli")
zstandard = _optional("zstandard")

PIECE: Final = 64 << 10
"""Bytes to feed to a decompressor at a time, which bounds the output of one step."""


class Undecodable(ValueError):
    """The body is not valid in the encoding that Content-Encoding names."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"the body must be {encoding}, as its Content-Encoding says")
        self.encoding = encoding


class TooLong(ValueError):
    """The decompressed body is longer than allowed."""


class Decoder(Protocol):
    """An incremental decompressor."""

    def feed(self, data: bytes, most: int) -> bytes:
        """Return the output for the next bytes; raises `TooLong` above `most` bytes."""

    def end(self) -> bytes:
        """Return the remaining output; raises `Undecodable` if the body is incomplete."""


class _Zlib:
    """gzip, with any number of members, and both kinds of deflate."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._bits = 31 if encoding == "gzip" else 15
        self._one: zlib._Decompress | None = None
        self._first = encoding == "deflate"

    def feed(self, data: bytes, most: int) -> bytes:
        out = b""
        while data:
            if self._one is None:
                if self._first and data[0] & 0x0F != 8:  # raw deflate, which some servers send
                    self._bits = -15
                self._first = False
                self._one = zlib.decompressobj(self._bits)
            try:
                out += self._one.decompress(data, most - len(out) + 1)
            except zlib.error:
                raise Undecodable(self._encoding) from None
            if len(out) > most:
                raise TooLong
            if not self._one.eof:
                break
            data, self._one = self._one.unused_data, None
            if self._encoding != "gzip":
                break
        return out

    def end(self) -> bytes:
        if self._one is not None:
            raise Undecodable(self._encoding)
        return b""


def _joined(pieces: Iterable[bytes], most: int) -> bytes:
    """Return decompressed pieces as one; raises `TooLong` as soon as they exceed `most` bytes."""
    out, size = [], 0
    for piece in pieces:
        out.append(piece)
        size += len(piece)
        if size > most:
            raise TooLong
    return b"".join(out)


class _Brotli:
    def __init__(self) -> None:
        self._one = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes, most: int) -> bytes:
        self._begun = True
        return _joined(self._pieces(data), most)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._one.process(data, output_buffer_limit=PIECE)
            while piece or not self._one.can_accept_more_data():
                yield piece
                piece = self._one.process(b"", output_buffer_limit=PIECE)
        except brotli.error:
            raise Undecodable("br") from None

    def end(self) -> bytes:
        if self._begun and not self._one.is_finished():
            raise Undecodable("br")
        return b""


class _Zstandard:
    """Zstandard, with any number of frames."""

    def __init__(self) -> None:
        self._one: Any = None  # Any: it has no types
        self._max_window = 8 << 20  # RFC 8878 section 3.1.1.1.2: the minimum to support

    def feed(self, data: bytes, most: int) -> bytes:
        return _joined(self._pieces(data), most)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._one is None:
                plain = zstandard.ZstdDecompressor(max_window_size=self._max_window)
                self._one = plain.decompressobj()
            # Only the size of the input limits the output of a call, so feed little at a time.
            step, data = data[:256], data[256:]
            try:
                yield self._one.decompress(step)
            except zstandard.ZstdError:
                raise Undecodable("zstd") from None
            if self._one.eof:
                data, self._one = self._one.unused_data + data, None

    def end(self) -> bytes:
        if self._one is not None:
            raise Undecodable("zstd")
        return b""


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _Zlib("gzip"),
    "x-gzip": lambda: _Zlib("gzip"),
    "deflate": lambda: _Zlib("deflate"),
}
if brotli is not None:
    _DECODERS["br"] = _Brotli
if zstandard is not None:
    _DECODERS["zstd"] = _Zstandard
ACCEPTED: Final = ", ".join(one for one in _DECODERS if not one.startswith("x-"))
"""Value of the Accept-Encoding header of requests."""


def decoders(encoding: str) -> list[Decoder]:
    """Return the decompressors for a Content-Encoding, outermost first.

    Raises:
        Undecodable: The encoding is not supported.
    """
    names = [one.strip().lower() for one in encoding.split(",")]
    wanted = [one for one in names if one and one != "identity"]
    if len(wanted) > 4 or not set(wanted) <= set(_DECODERS):
        raise Undecodable(encoding)
    return [_DECODERS[one]() for one in reversed(wanted)]


def decode(body: bytes, encoding: str, most: int) -> bytes:
    """Return a whole body, decompressed to at most `most` bytes.

    Raises:
        Undecodable: The body is not valid in `encoding`.
        TooLong: The result would be longer.
    """
    for one in decoders(encoding):
        body = b"".join(feed(one, body, most))
        body += one.end()
    return body


def feed(decoder: Decoder, data: bytes, most: int) -> list[bytes]:
    """Return the output for `data`, fed in pieces; raises `TooLong` above `most` bytes."""
    out: list[bytes] = []
    left = most
    for at in range(0, len(data), PIECE):
        out.append(decoder.feed(data[at : at + PIECE], left))
        left -= len(out[-1])
    return out
