"""Pure. Elements that open, end or fail a stream, and answers to stanzas (RFC 6120).

Values from a peer are escaped where they are put into markup, so none can end an attribute or open
a tag.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.condition import ERROR_TYPES, UNDEFINED
from amoc.xmpp.wire.xml_text import attributes, escape

STREAM_LANG: Final = "en"
"""Language of every stream that amoc opens, and default language of its stanzas."""

STREAM_END: Final = b"</stream:stream>"


def stream_header(addresses: str) -> bytes:
    """Return a stream header (section 4.7) with the attributes `addresses`: ``" to='a.b'"``."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'"
        f"{addresses} version='1.0' xml:lang='{STREAM_LANG}'>"
    ).encode()


def stream_error(condition: str, text: str = "") -> bytes:
    """Return a stream error (section 4.9), without the end of the stream that must follow it."""
    detail = f"<text xmlns='{ns.STREAM_ERRORS}' xml:lang='en'>{escape(text)}</text>" if text else ""
    return (
        f"<stream:error><{condition} xmlns='{ns.STREAM_ERRORS}'/>{detail}</stream:error>"
    ).encode()


def conditions_of(error: Element, namespace: str) -> tuple[str, str]:
    """Return condition and text of an error of any kind (sections 4.9, 6.5, 8.3)."""
    condition = text = ""
    for child in error:
        space, _, name = child.tag[1:].rpartition("}")
        if space != namespace:
            continue
        if name == "text":
            text = text or child.text or ""
        else:
            condition = condition or name
    return condition or UNDEFINED, text


def stanza_error(
    kind: str, condition: str, *, to: str | None, from_: str | None, id_: str | None
) -> bytes:
    """Return an error answer to a stanza (RFC 6120 section 8.3).

    Args:
        kind: The stanza's element name: message, presence or iq.
        condition: The defined condition; it determines the error's type.
        to: The sender of the stanza.
        from_: The recipient of the stanza; None when the server itself was addressed.
        id_: The stanza's id, if it had one.
    """
    head = attributes(from_=from_, to=to, id=id_)
    return (
        f"<{kind} type='error'{head}><error type='{ERROR_TYPES[condition]}'>"
        f"<{condition} xmlns='{ns.STANZA_ERRORS}'/></error></{kind}>"
    ).encode()


def iq_result(*, to: str | None, from_: str | None, id_: str, payload: str = "") -> bytes:
    """Return the result of an iq (RFC 6120 section 8.2.3); `payload` is markup."""
    head = attributes(from_=from_, to=to, id=id_)
    body = f">{payload}</iq>" if payload else "/>"
    return f"<iq type='result'{head}{body}".encode()
