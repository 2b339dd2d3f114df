"""Pure. What opens, ends and fails a stream, written and read alike at both ends (RFC 6120)."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire.namespaces import NS_CLIENT, NS_STREAM_ERRORS, NS_STREAMS
from amoc.xmpp.wire.xml_text import escape

STREAM_LANG: Final = "en"
"""The language of every stream that amoc opens; a stanza without its own is in it."""

STREAM_END: Final = b"</stream:stream>"


def stream_header(addresses: str) -> bytes:
    """A stream header (section 4.7) with `addresses`, attributes such as ``" to='localhost'"``."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'"
        f"{addresses} version='1.0' xml:lang='{STREAM_LANG}'>"
    ).encode()


def stream_error(condition: str, text: str = "") -> bytes:
    """A stream error (section 4.9), without the end of the stream that must follow it."""
    detail = f"<text xmlns='{NS_STREAM_ERRORS}' xml:lang='en'>{escape(text)}</text>" if text else ""
    return (
        f"<stream:error><{condition} xmlns='{NS_STREAM_ERRORS}'/>{detail}</stream:error>"
    ).encode()


def conditions_of(error: Element, namespace: str) -> tuple[str, str]:
    """The condition and the text of an error of any kind (sections 4.9, 6.5, 8.3)."""
    condition = text = ""
    for child in error:
        space, _, name = child.tag[1:].rpartition("}")
        if space != namespace:
            continue
        if name == "text":
            text = text or child.text or ""
        else:
            condition = condition or name
    return condition or "undefined-condition", text
