"""Messages read by a pattern learned from an earlier one: exactly as by a parser, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.xmpp.pattern_reader import LOOK_EVERY, MAX_PATTERNS, PatternReader
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire.parsers import Parsers, TreeParser
from amoc.xmpp.wire.xml_text import serialise
from tests.unit.xmpp.wire.lab import HEADER, MAX_DEPTH, Recorder

LIMIT = 1 << 20
EMBEDDED = (
    b"<message from='user_1@localhost/r1' to='user_2@localhost' type='chat' id='amoc.1/2.3'>"
    b"<body>hello</body>"
    b"<stanza-id xmlns='urn:xmpp:sid:0' by='user_2@localhost' id='1795968615216236'/></message>"
)
PROSODY = (
    b"<message id='a' type='chat' to='b@localhost' from='c@localhost/x' xml:lang='en'>"
    b"<body>hello</body><stanza-id id='y' by='b@localhost' xmlns='urn:xmpp:sid:0'/></message>"
)
DOUBLE = b'<message from="a@localhost/c" id="i" type="chat" to="d@e"><body>hello</body></message>'
SERVERS = [EMBEDDED, PROSODY, DOUBLE]


def reader_of(*learned: bytes) -> PatternReader:
    reader = PatternReader()
    for data in learned:
        assert reader.read(data, LIMIT) is not None
    return reader


def parsed(data: bytes) -> list[Stanza] | None:
    """Return the stanzas that a parser finds, or None unless `data` is only whole elements."""
    stream = Recorder(Parsers(TreeParser, MAX_DEPTH))
    stream.feed(HEADER, data)
    whole = not stream.condition and not stream.ends and stream.framer.parser is None
    return [Stanza(element) for element in stream.elements] if whole else None


def seen(stanza: Stanza) -> tuple[object, ...]:
    about = (stanza.tag, stanza.type, stanza.id, stanza.sender, stanza.body, stanza.to)
    return (*about, serialise(stanza.xml, inherit=False))


def by_pattern(reader: PatternReader, data: bytes) -> bool:
    """Return whether `data` is read by the pattern; check that a parser agrees."""
    found = reader.read(data, LIMIT)
    if not found or not all(isinstance(one, Stanza) for one in found):
        return False
    stanzas = [one for one in found if isinstance(one, Stanza)]
    assert all(one.raw is not None for one in stanzas)
    expected = parsed(data)
    assert expected is not None, "a parser refuses it"
    assert [seen(one) for one in stanzas] == [seen(one) for one in expected]
    return True


@pytest.mark.parametrize("first", SERVERS)
@pytest.mark.parametrize(
    "text", [b"", b'it\'s 1 = 1; "yes"', b"two\nlines\tof it", "Grüße, 世界".encode(), b"x" * 9000]
)
def test_the_next_message_is_read_by_the_pattern_of_the_first(first: bytes, text: bytes) -> None:
    assert by_pattern(reader_of(first), first.replace(b"hello", text))


def test_messages_received_together_are_read_together() -> None:
    reader = reader_of(EMBEDDED)
    assert by_pattern(reader, EMBEDDED + EMBEDDED.replace(b"hello", b"you") + EMBEDDED)
    assert not by_pattern(reader, EMBEDDED + PROSODY)
    assert not by_pattern(reader, EMBEDDED + EMBEDDED[:-1])


@pytest.mark.parametrize("first", SERVERS)
@pytest.mark.parametrize(
    "text",
    [
        *(
            b"a &amp; b",
            b"<b/>",
            b"a]]>b",
            b"\r\n",
            b"\x00",
            b"\x0b",
            b"\x7f",
            b"\xff",
            b"\xc0\x80",
        ),
        *(
            b"\xc0\x80",
            b"\xed\xa0\x80",
            "\ufffe\uffff".encode(),
            b"<![CDATA[x]]>",
            b"<!-- x -->",
            b"&x;",
        ),
        *(b"</body><body>", b"</body></message><message><body>", b"</stream:stream>", b"<?p ?>"),
    ],
)
def test_text_that_needs_a_parser_is_left_to_it(first: bytes, text: bytes) -> None:
    assert not by_pattern(reader_of(first), first.replace(b"hello", text))


@pytest.mark.parametrize("first", SERVERS)
@pytest.mark.parametrize(
    "value",
    [b"&lt;", b"<", b"\t", b"\n", b"\r", b"'", b'"', b"\x01", b"' id='", b'" to="', b"\xff"],
)
def test_an_attribute_value_that_needs_a_parser_is_left_to_it(first: bytes, value: bytes) -> None:
    assert not by_pattern(reader_of(first), first.replace(b"localhost", value))


@pytest.mark.parametrize(
    "message",
    [
        EMBEDDED.replace(b"chat", b"groupchat"),
        EMBEDDED.replace(b" type='chat'", b""),
        EMBEDDED.replace(b" id='amoc.1/2.3'", b""),
        EMBEDDED.replace(b"<body>hello</body>", b""),
        EMBEDDED.replace(b"<body>", b"<body xml:lang='en'>"),
        EMBEDDED.replace(b"<body>hello</body>", b"<body>hello</body>" * 2),
        EMBEDDED.replace(b"stanza-id", b"delay").replace(b"sid:0", b"delay"),
        EMBEDDED.replace(b"sid:0", b"sid:1"),
        EMBEDDED.replace(b"hello", b"x" * 1024),
    ],
)
def test_a_message_with_more_than_a_plain_body_yields_no_pattern(message: bytes) -> None:
    assert not by_pattern(reader_of(message), message)
    assert not by_pattern(reader_of(EMBEDDED), message.replace(b"x" * 1024, b"&amp;"))


def test_a_recurring_new_shape_replaces_the_pattern() -> None:
    reader = reader_of(EMBEDDED, *[PROSODY] * LOOK_EVERY)
    assert by_pattern(reader, PROSODY)
    assert not by_pattern(reader, EMBEDDED)


def test_the_number_of_compiled_patterns_is_limited() -> None:
    reader = PatternReader()
    for number in range(LOOK_EVERY * (MAX_PATTERNS + 5)):
        reader.read(EMBEDDED.replace(b" to=", b" x%d='' to=" % number), LIMIT)
    assert len(reader.patterns) == MAX_PATTERNS
    assert not by_pattern(reader, EMBEDDED)


def test_the_size_limit_of_stanzas_applies() -> None:
    reader = reader_of(EMBEDDED)
    assert reader.read(EMBEDDED, len(EMBEDDED)) is not None
    assert reader.read(EMBEDDED, len(EMBEDDED) - 1) is None


PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [*(bytes([n]) for n in b"<>&'\"=/ ax\t\n\r"), b"]]>", b"</body>", b" id='", b"/>", b"xmlns"]
    ),
)


@given(
    st.sampled_from(SERVERS),
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 4), PIECES), max_size=3),
)
@example(EMBEDDED, [(14, 0, b"x")])
def test_the_pattern_reads_only_what_a_parser_reads_alike(
    first: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    data = first
    for at, gone, piece in edits:
        data = data[:at] + piece + data[at + gone :]
    by_pattern(reader_of(first), data)
