"""Pure. Detection of a peer's protocol by its first bytes, as a wrong port is a common mistake."""

from __future__ import annotations

from typing import Final

_TLS_RECORDS: Final = frozenset((0x14, 0x15, 0x16, 0x17))
"""ChangeCipherSpec, alert, handshake, application data (RFC 8446 section 5.1)."""


def is_tls(data: bytes) -> bool:
    """Return whether `data` looks like the beginning of a TLS record."""
    return data[:1] != b"" and data[0] in _TLS_RECORDS and data[1:2] in (b"", b"\x03")


def protocol(data: bytes) -> str:
    """Return the protocol that `data` begins with: TLS, HTTP, XMPP or SSH; empty if unknown."""
    if is_tls(data):
        return "TLS"
    text = data[:512].lstrip()
    for begin, name in (
        (b"HTTP/", "HTTP"),
        (b"<html", "HTTP"),
        (b"<!DOCTYPE html", "HTTP"),
        (b"<?xml", "XMPP"),
        (b"<stream:", "XMPP"),
        (b"SSH-", "SSH"),
    ):
        if text[: len(begin)].lower() == begin.lower():
            return name
    return ""
