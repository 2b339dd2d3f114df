"""Pure. Channel binding (RFC 5056): a login that is valid only on its own TLS connection.

Of the binding types, tls-unique (RFC 5929) exists up to TLS 1.2, and tls-server-end-point in all
versions; tls-exporter (RFC 9266) needs a key that Python's `ssl` does not provide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

TLS_UNIQUE: Final = "tls-unique"
SERVER_END_POINT: Final = "tls-server-end-point"

# Signature algorithms by their object identifiers in DER, and the hash that RFC 5929 section 4.1
# assigns to each; MD5 and SHA-1 are replaced by SHA-256.
_PKCS1: Final = bytes.fromhex("2a864886f70d0101")
_ECDSA_SHA2: Final = bytes.fromhex("2a8648ce3d0403")
_HASHES: Final = {
    _PKCS1 + b"\x04": "sha256",
    _PKCS1 + b"\x05": "sha256",
    _PKCS1 + b"\x0b": "sha256",
    _PKCS1 + b"\x0c": "sha384",
    _PKCS1 + b"\x0d": "sha512",
    bytes.fromhex("2a8648ce3d0401"): "sha256",
    _ECDSA_SHA2 + b"\x02": "sha256",
    _ECDSA_SHA2 + b"\x03": "sha384",
    _ECDSA_SHA2 + b"\x04": "sha512",
}
_SEQUENCE: Final = 0x30
_OBJECT_IDENTIFIER: Final = 0x06


class Binding(NamedTuple):
    """Channel binding in a SCRAM login (RFC 5802 section 6)."""

    header: str = "n,,"
    """``n``: not supported by the client; ``y``: supported, but believed missing in the server,
    which a server that supports it takes for an attack; ``p=``: the type in use."""
    data: bytes = b""
    """Data that only the two ends of this connection have in common."""


NO_BINDING: Final = Binding()
NOT_OFFERED: Final = Binding("y,,")


class Channel(NamedTuple):
    """The parts of a TLS connection that are used for channel binding."""

    unique: bytes | None
    """None in TLS 1.3."""
    certificate: bytes | None
    """The server's certificate, as DER."""

    @property
    def can_bind(self) -> bool:
        """Whether a login could be bound to it if the server offered that."""
        return bool(self.unique or (self.certificate and server_end_point(self.certificate)))

    def binding(self, offered: Sequence[str]) -> Binding | None:
        """Return the binding for a login on this connection; None if not possible.

        Args:
            offered: Types that the server lists (XEP-0440); empty if it lists none.
        """
        if self.unique and (TLS_UNIQUE in offered or not offered):
            return Binding(f"p={TLS_UNIQUE},,", self.unique)
        if SERVER_END_POINT in offered and self.certificate:
            digest = server_end_point(self.certificate)
            return None if digest is None else Binding(f"p={SERVER_END_POINT},,", digest)
        return None


def server_end_point(certificate: bytes) -> bytes | None:
    """Return the hash of a certificate (DER); None if its signature algorithm defines none."""
    try:
        body, _ = _contents(certificate, 0, _SEQUENCE)
        _, after_signed = _contents(certificate, body[0], _SEQUENCE)
        algorithm, _ = _contents(certificate, after_signed, _SEQUENCE)
        identifier, _ = _contents(certificate, algorithm[0], _OBJECT_IDENTIFIER)
    except (IndexError, ValueError):
        return None
    name = _HASHES.get(certificate[slice(*identifier)])
    return hashlib.new(name, certificate).digest() if name else None


def _contents(der: bytes, at: int, tag: int) -> tuple[tuple[int, int], int]:
    """Return the range of the contents of the element at `at`, and where the next one begins."""
    if der[at] != tag:
        raise ValueError
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[begin : begin + count], "big")
        begin += count
    return (begin, begin + length), begin + length
