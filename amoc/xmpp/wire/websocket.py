"""Pure. WebSocket frames (RFC 6455), for both ends.

XMPP sends only text messages, each a whole element. So most frames are a whole message, and are
read and written with one copy. A client masks its frames, a server does not; the wrong masking is
an error, as is anything that was not negotiated: there are no extensions, and compression is never
offered.
"""

from __future__ import annotations

import base64
import hashlib
import random
from functools import lru_cache
from typing import Final

from amoc.xmpp.wire.parser import Violation

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_CODE: Final = 1005
TOO_BIG: Final = 1009

SUBPROTOCOL: Final = "xmpp"
MAX_CONTROL_BYTES: Final = 125
MAX_KNOWN_WORDS: Final = 1024
"""Maximum length of data, in words of 4 bytes, for which the masking multiplier is cached."""
MAX_FRAGMENTS: Final = 4096
"""Maximum frames in one message, as a sender could send any number of empty ones."""

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Message = tuple[int, bytes]
"""A whole text message or a control frame: its opcode and its data."""


class FrameViolation(Violation):
    """A violation of WebSocket by the peer.

    Attributes:
        code: The code with which to close the connection.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__("policy-violation" if code == TOO_BIG else "bad-format", text)
        self.code = code


def accept_key(key: str) -> str:
    """Return a server's answer to a client's ``Sec-WebSocket-Key`` (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324


def frame(opcode: int, data: bytes) -> bytes:
    """Return a server's frame with a whole message."""
    length = len(data)
    if length < 126:
        return bytes((_FIN | opcode, length)) + data
    if length < 65_536:
        return bytes((_FIN | opcode, 126)) + length.to_bytes(2, "big") + data
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8, "big") + data


def masked_frame(opcode: int, data: bytes) -> bytes:
    """Return a client's frame with a whole message."""
    key = random.getrandbits(32).to_bytes(4, "big")
    length = len(data)
    if length < 126:
        head = bytes((_FIN | opcode, _MASKED | length))
    elif length < 65_536:
        head = bytes((_FIN | opcode, _MASKED | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, _MASKED | 127)) + length.to_bytes(8, "big")
    return head + key + masked(data, key)


def masked(data: bytes, key: bytes) -> bytes:
    """Return `data` masked or unmasked (section 5.3)."""
    length = len(data)
    # All bytes at once, as two long integers: 30 times as fast as byte by byte.
    words = (length + 3) // 4
    ones = _known_ones(words) if words < MAX_KNOWN_WORDS else _ones(words)
    mask = int.from_bytes(key, "little") * ones
    return (int.from_bytes(data, "little") ^ mask).to_bytes(words * 4, "little")[:length]


def _ones(words: int) -> int:
    """Return an integer of `words` 4-byte words, each of value 1."""
    return int.from_bytes(b"\1\0\0\0" * words, "little")


_known_ones: Final = lru_cache(maxsize=256)(_ones)


def close_frame_data(code: int, reason: str = "") -> bytes:
    """Return the data of a close frame (section 5.5.1)."""
    return code.to_bytes(2, "big") + reason.encode()[: MAX_CONTROL_BYTES - 2]


def close_code(data: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame; `NO_CODE` if it has none."""
    if len(data) < 2:
        return NO_CODE, ""
    return int.from_bytes(data[:2], "big"), data[2:].decode(errors="replace")


class FrameReader:
    """Assembles messages from the bytes that a peer sends.

    Attributes:
        completed: Whether the last bytes completed a message.
        max_bytes: Maximum length of a message.
    """

    __slots__ = ("_count", "_masked", "_message", "_pending", "completed", "max_bytes")

    def __init__(self, max_bytes: int, *, masked: bool) -> None:
        """Create a reader.

        Args:
            max_bytes: Maximum length of a message.
            masked: Whether the peer is a client, and must mask its frames.
        """
        self.completed = False
        self.max_bytes = max_bytes
        self._masked = _MASKED if masked else 0
        self._pending: bytearray | None = None
        self._message: bytearray | None = None  # the fragments so far
        self._count = 0

    def whole(self, data: bytes) -> bytes | None:
        """Return the text message in `data` if it is exactly one in one frame, as nearly always.

        Otherwise return None; `feed` must then process the data.
        """
        size = len(data)
        if size < 2 or data[0] != _FIN | TEXT or self._pending is not None or self._masked:
            return None
        length, begin = data[1], 2
        if length == 126 and size > 4:
            length, begin = data[2] << 8 | data[3], 4
        elif length >= 126:
            return None
        if begin + length != size or self._message is not None or length > self.max_bytes:
            return None
        self.completed = True
        return data[begin:]

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished message are held."""
        return self._pending is not None or self._message is not None

    def feed(self, data: bytes, out: list[Message]) -> None:
        """Add the messages that `data`, the next bytes, completes to `out`.

        Raises:
            FrameViolation: The peer violated a rule, after what is in `out`.
        """
        chunk: bytes | bytearray = data
        if self._pending is not None:
            self._pending += data
            chunk = self._pending
        end = len(chunk)
        at = 0
        while end - at >= 2:
            opcode = chunk[at]
            length = chunk[at + 1]
            if length & _MASKED != self._masked:
                raise FrameViolation(
                    PROTOCOL_ERROR,
                    "a client's frames must be masked"
                    if self._masked
                    else "a server's frames must not be masked",
                )
            length &= 0x7F
            begin = at + 2
            if length > MAX_CONTROL_BYTES:
                begin += 2 if length == 126 else 8
                if begin > end:
                    break
                length = int.from_bytes(chunk[at + 2 : begin], "big")
            self._check(opcode, length, begin - at == 2)
            key = begin
            if self._masked:
                begin += 4
            stop = begin + length
            if stop > end:
                break
            payload = bytes(chunk[begin:stop])
            if self._masked:
                payload = masked(payload, bytes(chunk[key:begin]))
            at = stop
            if opcode & 0x8F == _FIN | TEXT or opcode & CLOSE:
                out.append((opcode & 0x0F, payload))
            else:
                self._join(opcode, payload, out)
        self._keep(chunk, at)
        self.completed = bool(out)

    def _keep(self, chunk: bytes | bytearray, at: int) -> None:
        if at == len(chunk):
            self._pending = None
        elif chunk is self._pending:
            del self._pending[:at]
        else:
            self._pending = bytearray(memoryview(chunk)[at:])

    def _check(self, opcode: int, length: int, short: bool) -> None:
        """Reject a frame by its header, before any of its data is kept.

        Raises:
            FrameViolation: It is not allowed, or not now, or too long.
        """
        if opcode == _FIN | TEXT and self._message is None and length <= self.max_bytes:
            return
        kind = opcode & 0x0F
        if opcode & _RESERVED or kind not in _OPCODES:
            raise FrameViolation(PROTOCOL_ERROR, "a frame uses an extension that was not agreed on")
        if kind >= CLOSE:
            if not opcode & _FIN or not short:
                raise FrameViolation(
                    PROTOCOL_ERROR,
                    f"a control frame must be whole and hold at most {MAX_CONTROL_BYTES} bytes",
                )
            return
        if kind == BINARY:
            raise FrameViolation(UNSUPPORTED_DATA, "XMPP must be sent in text messages, not binary")
        if (kind == CONTINUATION) is (self._message is None):
            raise FrameViolation(
                PROTOCOL_ERROR,
                "a continuation must follow a fragment, and a new message a finished one",
            )
        if length + len(self._message or b"") > self.max_bytes:
            raise FrameViolation(TOO_BIG, f"a message may have at most {self.max_bytes} bytes")

    def _join(self, opcode: int, payload: bytes, out: list[Message]) -> None:
        """Add a fragment of a text message."""
        if self._message is None:
            self._message = bytearray()
            self._count = 0
        self._message += payload
        self._count += 1
        if self._count > MAX_FRAGMENTS:
            raise FrameViolation(
                TOO_BIG, f"a message may be sent in at most {MAX_FRAGMENTS} fragments"
            )
        if opcode & _FIN:
            out.append((TEXT, bytes(self._message)))
            self._message = None
