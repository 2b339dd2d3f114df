"""Framing by messages (RFC 7395): each message is one whole element."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.message_framing import MessageFramer, opening, standalone
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import Parsers, TreeParser
from amoc.xmpp.wire.xml_text import attributes

OPEN = opening(" to='localhost'")
CLOSE = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"


class Reader:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_header(self, attrs: dict[str, str]) -> None:
        self.heard.append(attrs["to"])

    def on_element(self, element: ET.Element) -> None:
        self.heard.append(element.tag)

    def on_close(self) -> None:
        self.heard.append("closed")


def read(*messages: bytes) -> list[object]:
    framer = MessageFramer(Parsers(TreeParser, 10), 1000)
    reader = Reader()
    framer.feed(list(messages), reader)
    return reader.heard


def test_a_stream_is_opened_used_and_closed() -> None:
    message = b"<message xmlns='jabber:client'/>"
    assert read(OPEN, message, b" ", b"", CLOSE, message) == [
        "localhost",
        f"{{{ns.CLIENT}}}message",
        "closed",
    ]


def test_a_stream_may_be_closed_before_it_is_opened() -> None:
    assert read(CLOSE) == ["closed"]


@pytest.mark.parametrize(
    ("messages", "condition"),
    [
        ((b"<message xmlns='jabber:client'/>",), "bad-format"),
        ((OPEN, OPEN), "bad-format"),
        ((OPEN, b"<a/><b/>"), "not-well-formed"),
        ((OPEN, b"<a>"), "not-well-formed"),
        ((OPEN, b"</stream:stream>"), "not-well-formed"),
        ((OPEN, b"text"), "bad-format"),
        ((OPEN, b"<!-- --><a/>"), "restricted-xml"),
        ((OPEN, b"<a>&b;</a>"), "restricted-xml"),
        ((OPEN, b"<a>" * 11 + b"</a>" * 11), "policy-violation"),
        ((OPEN, b"\xff\xfe"), "not-well-formed"),
        ((b"<?xml version='1.0'?>" + OPEN,), "not-well-formed"),
    ],
)
def test_a_message_that_is_not_one_whole_element_is_refused(
    messages: tuple[bytes, ...], condition: str
) -> None:
    with pytest.raises(Violation) as raised:
        read(*messages)
    assert raised.value.condition == condition


def test_the_given_reader_is_tried_for_message_stanzas_only() -> None:
    asked = []

    def read_whole(data: bytes, max_bytes: int) -> list[ET.Element] | None:
        asked.append((data, max_bytes))
        return [ET.Element(f"{{{ns.CLIENT}}}message", {"read": "so"})] if b"yes" in data else None

    framer = MessageFramer(Parsers(TreeParser, 10), 1000, read_whole)
    reader = Reader()
    one = b"<message xmlns='jabber:client' id='%s'/>"
    framer.feed([OPEN, b"<iq xmlns='jabber:client'/>", one % b"no", one % b"yes", CLOSE], reader)
    tags = [f"{{{ns.CLIENT}}}{name}" for name in ("iq", "message", "message")]
    assert reader.heard == ["localhost", *tags, "closed"]
    assert asked == [(data, len(data)) for data in (one % b"no", one % b"yes")]


def test_a_restarted_stream_is_opened_again() -> None:
    framer = MessageFramer(Parsers(TreeParser, 10), 1000)
    reader = Reader()
    framer.feed([OPEN], reader)
    framer.restart()
    framer.feed([opening(" to='again'")], reader)
    assert reader.heard == ["localhost", "again"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<message/>", b"<message xmlns='jabber:client'/>"),
        (b"<message>", b"<message xmlns='jabber:client'>"),
        (b"<message to=' xmlns='/>", b"<message xmlns='jabber:client' to=' xmlns='/>"),
        (b"<message to='a' xmlns='c'/>", b"<message to='a' xmlns='c'/>"),
        (b"<message to='a>b' />", b"<message xmlns='jabber:client' to='a>b' />"),
        (b'<iq\nid="1">', b"<iq xmlns='jabber:client'\nid=\"1\">"),
        (b"<a b=' xmlns='/>", b"<a xmlns='jabber:client' b=' xmlns='/>"),
        (b"<a xmlns:b='c'/>", b"<a xmlns='jabber:client' xmlns:b='c'/>"),
        (b"<a b='1' xmlns='c'/>", b"<a b='1' xmlns='c'/>"),
        (b"<a xmlns = 'c'/>", b"<a xmlns = 'c'/>"),
        (b"no element", b"no element"),
    ],
)
def test_a_standalone_element_declares_its_namespace(before: bytes, after: bytes) -> None:
    assert standalone(before) == after


@given(st.text(max_size=20).filter(str.isprintable), st.booleans())
def test_a_standalone_element_equals_the_one_in_the_stream(value: str, prefixed: bool) -> None:
    name = "stream:error" if prefixed else "message"
    data = f"<{name}{attributes(to=value)}><a/></{name}>".encode()
    found = ET.fromstring(standalone(data))
    assert found.tag == (f"{{{ns.STREAMS}}}error" if prefixed else f"{{{ns.CLIENT}}}message")
    assert found[0].tag == f"{{{ns.CLIENT}}}a"
    assert found.get("to") == value
