"""Streamed response bodies, decompressed piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amoc.base.errors import ScenarioError
from amoc.http import decoding, errors
from amoc.http.connection import Connection

MAX_PIECE: Final = 64 << 20
"""Maximum size in bytes of one piece after decompression."""


class Stream:
    """The pieces of a body, read from its connection on demand.

    Attributes:
        connection: The connection to read from.
        size: Number of bytes yielded so far.
        is_over: Whether its `with` block has ended. The connection may be in use again.
    """

    def __init__(self, connection: Connection, who: str, encoding: str) -> None:
        self.connection = connection
        self.size = 0
        self.is_over = False
        self._who = who
        self._encoding = encoding

    def _read(self) -> bytes:
        piece = b"" if self.is_over else self.connection.read()
        if self.is_over:  # also if it ended during the read, in another greenlet
            raise ScenarioError(f"{self._who}: a stream must be read within its with block")
        return piece

    def __iter__(self) -> Iterator[bytes]:
        connection = self.connection
        try:
            decoders = decoding.decoders(self._encoding)
            while piece := self._read():
                for one in decoders:
                    piece = b"".join(decoding.feed(one, piece, MAX_PIECE))
                self.size += len(piece)
                if piece:
                    yield piece
            connection.check(self._who)
            for one in decoders:
                one.end()
        except decoding.Undecodable as error:
            cause = f"bad encoding ({self._encoding})"
            raise errors.BadEncoding(f"{self._who}: {error}", cause) from None
        except decoding.TooLong:
            raise errors.AnswerTooLarge(
                f"{self._who}: a decompressed piece must have at most {MAX_PIECE} bytes",
                "answer too large",
            ) from None
