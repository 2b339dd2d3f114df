"""Framing: every kind of reader finds the same elements or violation, however input is split."""

from __future__ import annotations

import gc
import itertools
from xml.etree.ElementTree import Element, XMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.xmpp.wire import framing, parsers, whole_elements
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.parser import MAX_TAG_BYTES, Violation
from amoc.xmpp.wire.xml_text import serialise
from tests.unit.xmpp.wire.lab import (
    CUTS,
    HEADER,
    KINDS,
    MAX_DEPTH,
    UNUSUAL,
    WHOLE,
    Recorder,
    cut,
    fed,
    in_pieces,
)
from tests.unit.xmpp.wire.lab import parsers as new_parsers

EACH = pytest.mark.parametrize("kind", KINDS)
STANZAS = [
    b"<presence/>",
    b"<presence></presence >",
    b"<message to='a@b/c' type='chat'><body>&lt;&amp; \xc3\xa4 \xf0\x9f\x98\x80</body></message>",
    b"<message><body><![CDATA[<not> a tag/>]]></body></message>",
    b"<message>/></message>",
    b"<message a='/>' b=\">\"></message>",
    b'<iq type="result" id=">"><query xmlns="urn:q"><item a=\'"\' b="/>"/>tail<item/></query></iq>',
    b"<message xml:lang='de' xmlns:p='urn:p' p:attr='1'>\n<p:child/>\r\n</message >",
    b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>",
    b"<iq type='get'><a><b><c><d>deep</d></c></b></a></iq>",
    b"<message><n" + b"x" * 300 + b" a='" + b"&#10;" * 100 + b"'/></message>",
]
GAPS = [b"", b" ", b"\n", b"\r\n", b"\r", b" \t\r\n "]
PARTS = st.lists(st.tuples(st.sampled_from(STANZAS), st.sampled_from(GAPS)), max_size=10)


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(stanza + gap for stanza, gap in parts)


@pytest.mark.slow
@EACH
@given(parts=PARTS, unusual=st.booleans(), cuts=CUTS)
def test_the_elements_do_not_depend_on_how_the_input_is_split(
    kind: str, parts: list[tuple[bytes, bytes]], unusual: bool, cuts: list[int]
) -> None:
    data = HEADER + joined(parts) + b"</stream:stream>"
    if unusual:
        # Only the prefixed stanza names belong to XMPP there.
        data = UNUSUAL + joined(parts).replace(b"stream:features", b"s:features") + b"</s:stream>"
    whole = fed(kind, data)
    assert whole.condition == ""
    assert whole.ends == 1
    assert len(whole.headers) == 1
    assert len(whole.elements) == len(parts)
    assert fed(kind, *cut(data, cuts)).outcome == whole.outcome


@EACH
@given(parts=PARTS)
def test_input_byte_by_byte_gives_the_same_elements(
    kind: str, parts: list[tuple[bytes, bytes]]
) -> None:
    data = HEADER + joined(parts)
    assert fed(kind, *in_pieces(data, 1)).outcome == fed(kind, data).outcome


@given(PARTS, CUTS)
def test_all_kinds_of_readers_agree(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    pieces = cut(HEADER + joined(parts), cuts)
    built, found = fed("tree", *pieces), fed("cut", *pieces)
    assert fed(WHOLE, *pieces).outcome == built.outcome
    assert built.tags == found.tags
    assert built.headers == found.headers
    for element, (tag, attrs, raw), (stanza, _) in zip(
        built.elements, found.elements, parts, strict=True
    ):
        assert raw == stanza, "bytes are cut out as they came"
        assert (element.tag, element.attrib) == (tag, attrs)
        assert serialise(tree(None, raw)) == serialise(element)


@EACH
@given(parts=PARTS, turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 200)), max_size=60))
@pytest.mark.slow
def test_streams_that_share_parsers_do_not_mix(
    kind: str, parts: list[tuple[bytes, bytes]], turns: list[tuple[int, int]]
) -> None:
    lend = new_parsers(kind)
    data = [
        HEADER
        + b"".join(b"<message id='%d'><body>%d</body></message>" % (n, i) for i in range(20))
        + joined(parts)
        for n in range(3)
    ]
    streams = [Recorder(lend) for _ in data]
    at = [0, 0, 0]
    for which, step in [*turns, *((n, 10**6) for n in range(3))]:
        streams[which].feed(data[which][at[which] : at[which] + step])
        at[which] += step
    for number, stream in enumerate(streams):
        assert stream.outcome == fed(kind, data[number]).outcome


@EACH
@given(parts=PARTS, cuts=CUTS)
def test_a_restart_begins_a_new_stream_at_the_very_next_byte(
    kind: str, parts: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    for header in (HEADER, UNUSUAL.replace(b"urn:odd", b"jabber:client")):
        stream = Recorder(new_parsers(kind))
        stream.restart_after = "{jabber:client}auth"
        usual = [part for part in parts if b"stream:" not in part[0]]
        stream.feed(*cut(HEADER + b"<auth/>" + header + joined(usual), cuts))
        assert stream.condition == ""
        assert len(stream.headers) == 2
        assert stream.texts[1:] == fed(kind, header + joined(usual)).texts


@EACH
@given(place=st.integers(0, 20_000), parts=PARTS)
def test_a_truncated_stream_yields_its_complete_elements(
    kind: str, place: int, parts: list[tuple[bytes, bytes]]
) -> None:
    data = HEADER + joined(parts)
    stream = fed(kind, data[: place % (len(data) + 1)])
    assert stream.condition == ""
    assert stream.texts == fed(kind, data).texts[: len(stream.texts)]
    assert stream.framer.place


MARKUP = st.lists(
    st.sampled_from(
        [b"<", b">", b"/", b"'", b"a", b" ", b"=", b"<a>", b"</a>", b"<a/>", b"&lt;", b"]]>",
         b"\r", b"<![CDATA[", b"<!--", b"-->", b"<?p ?>", b"</stream:stream>", b"\xff",
         b"xmlns='u'", b"<message xmlns=''/>", b"&x;", b"<!DOCTYPE x>", b"\0", HEADER]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(st.binary(max_size=200) | MARKUP, st.booleans(), CUTS)
def test_noise_is_accepted_or_refused_alike_by_all_kinds_however_split(
    noise: bytes, inside: bool, cuts: list[int]
) -> None:
    data = (HEADER if inside else b"") + noise
    streams = [fed(kind, *pieces) for kind in KINDS for pieces in ([data], cut(data, cuts))]
    first = streams[0]
    for stream in streams[1:]:
        assert stream.tags == first.tags
        assert bool(stream.ends or stream.condition) == bool(first.ends or first.condition)
    for _, _, raw in fed("cut", data).elements:
        assert len(tree(None, b"<x>" + raw + b"</x>")) == 1, "each is one whole element"


@given(st.lists(st.sampled_from(STANZAS), max_size=4).map(b"".join) | MARKUP)
@example(b"<a>")
@example(b"</a><a>")
@example(b"</a><b/><a>")
@example(b"<b>")
@example(b"<?p ?>")
@example(b"<m><?p ?></m>")
@example(b"<!-- psst -->")
@example(b"<m><!-- psst --></m>")
@example(b"<m><![CDATA[<a>]]></m>")
@example(b"<![CDATA[hello]]>")
@example(b"<!DOCTYPE x>")
@example(b"<![CDATA[>")
@example(b"<m><![CDATA[>")
@example(b"<a><![CDATA[>")
@example(b"</stream:stream>'>")
@example(b"<m/></stream:stream>'>")
@example(b"<m/><?p >")
@example(b"<m><?p >")
def test_whole_elements_are_accepted_only_if_a_parser_agrees(data: bytes) -> None:
    found = whole_elements.WholeElements(MAX_DEPTH).read(data, 1 << 20)
    if found is not None:
        stream = fed("tree", HEADER, data)
        assert stream.framer.parser is None
        assert stream.outcome[2:] == ("", 0)
        assert [serialise(one, inherit=False) for one in found] == stream.texts


def nested(depth: int) -> bytes:
    return b"<m>" + b"<a>" * (depth - 1) + b"</a>" * (depth - 1) + b"</m>"


def long(length: int) -> bytes:
    return b"<m>" + b"x" * (length - 7) + b"</m>"


LIMIT = 100_000
BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"


@EACH
@pytest.mark.parametrize(
    ("data", "condition"),
    [
        # before the header
        (b"<!DOCTYPE x>", "restricted-xml"),
        (BOMB + HEADER, "restricted-xml"),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + HEADER, "restricted-xml"),
        (b"<?go on?>", "restricted-xml"),
        (b"<!-- psst -->", "restricted-xml"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
        (b"<message/>", "bad-format"),
        (b"<html></html>", "bad-format"),
        (b"<stream xmlns='urn:other'/>", "invalid-namespace"),
        (HEADER.replace(b"'jabber:client'", b"'jabber:server'"), "invalid-namespace"),
        (HEADER.replace(b" xmlns='jabber:client'", b""), "invalid-namespace"),
        (HEADER.replace(b"to=", b"xmlns:p='u' p:b='1' p:b='2' to="), "not-well-formed"),
        (b"hello", "not-well-formed"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x00\x02\x02\x16", "not-well-formed"),
        (b"\xff\xfe<\x00", "not-well-formed"),
        (b"\xef\xbb\xbf" + HEADER, "not-well-formed"),
        (b" " * 40_000, "policy-violation"),
        (b" " * 40_000 + HEADER[21:], "policy-violation"),
        (HEADER.replace(b"to=", b"a='" + b"x" * 40_000 + b"' to="), "policy-violation"),
        (b"<stream:stream a='" + b"x" * 40_000, "policy-violation"),
        # inside the stream
        (HEADER + BOMB, "not-well-formed"),
        (HEADER + b"<!-- psst -->", "restricted-xml"),
        (HEADER + b"<m><!-- psst --></m>", "restricted-xml"),
        (HEADER + b"<m><?go on?></m>", "restricted-xml"),
        (HEADER + b"<m>&lol9;</m>", "restricted-xml"),
        (HEADER + b"<m a='&lol9;'/>", "restricted-xml"),
        (HEADER + b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (HEADER + b"<iq xmlns=''/>", "invalid-namespace"),
        (HEADER + b"hello", "bad-format"),
        (HEADER + b"hello<m/>", "bad-format"),
        (HEADER + b"hello</stream:stream>", "bad-format"),
        (HEADER + b"<![CDATA[hello]]><m/>", "bad-format"),
        (HEADER + b"<m></n>", "not-well-formed"),
        (HEADER + b"<m>\xff\xfe</m>", "not-well-formed"),
        (HEADER + b"<m>\xc0\x80</m>", "not-well-formed"),
        (HEADER + b"<m>\xed\xa0\x80</m>", "not-well-formed"),
        (HEADER + b"<m>\x00</m>", "not-well-formed"),
        (HEADER + b"<m\x00/>", "not-well-formed"),
        (HEADER + b"<m>&#0;</m>", "not-well-formed"),
        (HEADER + b"<m>\x01</m>", "not-well-formed"),
        (HEADER + b"<m a='1' a='2'/>", "not-well-formed"),
        (HEADER + b"<m><p:x/></m>", "not-well-formed"),
        (HEADER + b"</m>", "not-well-formed"),
        (HEADER + nested(MAX_DEPTH), ""),
        (HEADER + nested(MAX_DEPTH + 1), "policy-violation"),
        (HEADER + nested(10_000)[:30_003], "policy-violation"),
        (HEADER + long(LIMIT), ""),
        (HEADER + long(LIMIT + 1), "policy-violation"),
        (HEADER + long(2 * LIMIT)[:-4], "policy-violation"),
        (HEADER + b"<m><![CDATA[" + b"<" * 50_000 + b"]]></m>", ""),
        (HEADER + b"<m><![CDATA[" + b"x" * 2 * LIMIT, "policy-violation"),
        (HEADER + b"<" + b"n" * (MAX_TAG_BYTES - 3) + b"/>", ""),
        (HEADER + b"<" + b"n" * (MAX_TAG_BYTES - 2) + b"/>", "policy-violation"),
        (HEADER + b"<m><" + b"n" * 40_000 + b"/></m>", "policy-violation"),
        (HEADER + b"<m a='" + b">" * 40_000 + b"'/>", "policy-violation"),
        (HEADER + b"<m><x " + b" ".join(b"a%d=''" % n for n in range(5000)) + b"/></m>",
         "policy-violation"),
        (HEADER + b"<" + b"n" * 40_000, "policy-violation"),
        (HEADER + b"<m><!--" + b"x" * 40_000, "policy-violation"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_forbidden_xml_is_refused_by_all_kinds_however_split(
    kind: str, data: bytes, condition: str
) -> None:
    for size in (1 if len(data) < 1000 else 509, 4096, len(data)):
        stream = fed(kind, *in_pieces(data, size), b" <presence/>", max_bytes=LIMIT)
        assert stream.condition == condition
        assert stream.tags[-1:] == ([] if condition else ["{jabber:client}presence"])


@EACH
def test_elements_before_a_violation_are_delivered(kind: str) -> None:
    stream = fed(kind, HEADER + b"<presence/><message/><!-- -->", b"<presence/>")
    assert len(stream.elements) == 2
    assert stream.condition == "restricted-xml"
    assert stream.framer.closed


@EACH
def test_input_after_the_end_of_the_stream_is_ignored(kind: str) -> None:
    stream = fed(kind, HEADER + b"<presence/></stream:stream>  <garbage", b"<presence/>")
    assert len(stream.elements) == 1
    assert stream.ends == 1
    assert stream.condition == ""


@EACH
def test_nothing_more_is_read_once_the_reader_closes_the_stream(kind: str) -> None:
    class Closing(Recorder):
        def on_element(self, element: object) -> None:
            super().on_element(element)
            self.framer.close()

    stream = Closing(new_parsers(kind))
    stream.feed(HEADER + b"<presence/><message/><!-- -->", b"<presence/>")
    assert len(stream.elements) == 1
    assert stream.condition == ""
    assert stream.framer.parser is None


@EACH
@given(cuts=CUTS)
@example(cuts=[])
def test_the_size_limit_can_change_between_stanzas(kind: str, cuts: list[int]) -> None:
    class Growing(Recorder):
        def on_element(self, element: object) -> None:
            super().on_element(element)
            self.framer.limit(1000)

    stream = Growing(new_parsers(kind), 200)
    stream.feed(*cut(HEADER + long(200) + b" " + long(1000) + long(1001), cuts))
    assert len(stream.elements) == 2
    assert stream.condition == "policy-violation"
    assert "1000 bytes" in stream.text


@EACH
def test_endless_input_is_refused_before_much_of_it_is_buffered(kind: str) -> None:
    limit = 50_000
    for begin, more in [
        (HEADER + b"<message><body>", b"x" * 1000),
        (HEADER + b"<message>", b"<a></a>" * 100),
        (HEADER + b"<message><a b='", b"x" * 1000),
        (HEADER + b"<message><a b='", b">" * 1000),
        (HEADER + b"<message>", b"<a>" * 3),
        (HEADER + b"<", b"x" * 1000),
        (b"<stream:stream a='", b"x" * 1000),
        (b"", b" " * 1000),
        (HEADER + b"<message><body><![CDATA[", b"x" * 1000),
    ]:
        stream = fed(kind, begin, max_bytes=limit)
        fed_bytes = 0
        while not stream.condition and fed_bytes < limit + 2000:
            stream.feed(more)
            fed_bytes += len(more)
        assert stream.condition == "policy-violation"
        assert stream.framer.parser is None


@EACH
def test_an_idle_stream_holds_no_parser(kind: str) -> None:
    lend = new_parsers(kind)
    streams = [Recorder(lend) for _ in range(100)]
    for stream in streams:
        stream.feed(HEADER)
        stream.feed(STANZAS[2])
        stream.feed(b"<presence/> ")
        assert stream.framer.parser is None
        assert stream.framer.place == "between two stanzas"
    for stream in streams:
        stream.feed(b"<m")
        assert stream.framer.unfinished
        assert stream.framer.place == "inside a stanza"
    for stream in streams:
        stream.feed(b"/>")
        assert not stream.framer.unfinished
    assert len(lend) == parsers.POOL_SIZE


@EACH
def test_whitespace_between_stanzas_needs_no_parser(kind: str) -> None:
    lend = new_parsers(kind)
    stream = Recorder(lend)
    stream.feed(HEADER + b"<presence/>")
    idle = len(lend)
    stream.feed(*[b" \n"] * 1000)
    assert stream.framer.parser is None
    assert len(lend) == idle


@EACH
@pytest.mark.parametrize("text", [b"x", b"x ", b"\v", b"\f", b"\x1c", b" \v ", "\xa0".encode()])
def test_text_between_stanzas_is_refused_at_once(kind: str, text: bytes) -> None:
    stream = fed(kind, HEADER + b"<presence/>", text)
    assert stream.condition
    assert stream.framer.closed
    assert fed(kind, HEADER + b"<presence/>" + text).condition == stream.condition


@EACH
@pytest.mark.parametrize("text", [b"x", b"HTTP/1.1", b"{}", b"\x16\x03\x01"])
def test_input_that_is_not_xml_is_refused_before_any_header(kind: str, text: bytes) -> None:
    assert fed(kind, text).condition == "not-well-formed"
    assert fed(kind, b" \n" + text).condition == "not-well-formed"


@EACH
def test_a_restart_discards_the_namespaces_of_the_previous_header(kind: str) -> None:
    stream = Recorder(new_parsers(kind))
    stream.restart_after = "{jabber:client}auth"
    stream.feed(UNUSUAL + b"<c:auth/>")
    assert stream.framer.root is None
    assert stream.framer.opening
    stream.feed(HEADER + b"<message/>")
    assert stream.framer.root is None
    assert stream.framer.parser is None
    stream.feed(b"<c:message/>")
    assert stream.tags == ["{jabber:client}auth", "{jabber:client}message"]
    assert stream.condition == "not-well-formed"


@EACH
def test_a_stanza_may_be_exactly_as_long_as_the_limit(kind: str) -> None:
    stanza = b"<message>" + b"x" * 981 + b"</message>"
    assert len(stanza) == 1000
    for size in (1, 7, 1000):
        for limit, allowed in ((1000, True), (999, False)):
            stream = fed(kind, HEADER, *in_pieces(stanza, size), max_bytes=limit)
            assert (len(stream.elements), stream.condition == "") == (allowed, allowed)


def test_a_violation_shows_its_condition_and_reason() -> None:
    assert str(Violation("policy-violation", "a stanza was too long")) == (
        "policy-violation (a stanza was too long)"
    )
    assert str(Violation("not-well-formed")) == "not-well-formed"


@EACH
def test_a_carriage_return_between_stanzas_does_not_leak_to_another_stream(kind: str) -> None:
    lend = new_parsers(kind)
    first, second = Recorder(lend), Recorder(lend)
    first.feed(HEADER)
    second.feed(HEADER)
    first.feed(b"<a/>\r")
    second.feed(b"<b/>")
    first.feed(b"<c/>")
    assert first.tags == ["{jabber:client}a", "{jabber:client}c"]
    assert second.tags == ["{jabber:client}b"]


@EACH
def test_a_stream_with_unusual_namespaces_keeps_its_own_parser(kind: str) -> None:
    lend = new_parsers(kind)
    odd, other = Recorder(lend), Recorder(lend)
    odd.feed(UNUSUAL)
    other.feed(HEADER)
    odd.feed(b"<c:message/>")
    other.feed(b"<message/>")
    assert odd.framer.parser is not None
    assert other.framer.parser is None
    assert odd.tags == other.tags == ["{jabber:client}message"]
    other.feed(b"<c:message/>")
    assert other.condition == "not-well-formed"


@EACH
@pytest.mark.parametrize("header", [HEADER, UNUSUAL], ids=["usual", "unusual"])
@pytest.mark.parametrize("tail", [b"", b"<m"], ids=["whole", "cut"])
def test_parsers_are_replaced_before_they_accumulate_names(
    kind: str, header: bytes, tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "WORN_BYTES", 5000)
    monkeypatch.setattr(parsers, "WORN_BYTES", 5000)
    lend = new_parsers(kind)
    made = []
    new = lend.new
    monkeypatch.setattr(lend, "new", lambda: made.append(new()) or made[-1])
    stream = Recorder(lend)
    stream.feed(header)
    rest = b""
    for number in range(500):
        # With a tail, each chunk ends inside a stanza, so the parser is never idle.
        stream.feed(rest + b"<x><n%d a%d='1'/></x>" % (number, number) + tail)
        rest = b"/>" if tail else b""
    assert stream.condition == ""
    assert len([tag for tag in stream.tags if tag.endswith("x")]) == 500
    assert all(parser.fed <= 5100 for parser in made)
    assert len(made) <= 10
    if kind != WHOLE or tail or header == UNUSUAL:  # otherwise a parser saw only the stream header
        assert len(made) >= 3


def test_the_whole_element_parser_is_replaced_before_it_accumulates_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[XMLParser] = []

    class Noted(XMLParser):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(whole_elements, "WORN_BYTES", 5000)
    monkeypatch.setattr(whole_elements, "XMLParser", Noted)
    reader = whole_elements.WholeElements(MAX_DEPTH)
    for number in range(500):
        assert reader.read(b"<x><n%d a%d='1'/></x>" % (number, number), 1000) is not None
    assert 3 <= len(made) <= 10


@given(st.lists(st.sampled_from([*STANZAS, *GAPS, b"x", b"<m", b"</m>", b"</a><a>"]), max_size=6))
def test_whole_elements_keep_no_state_between_reads(parts: list[bytes]) -> None:
    reader = whole_elements.WholeElements(MAX_DEPTH)
    for part in parts:
        reader.read(part, 1 << 20)
        reader.read(b"".join(parts), 1 << 20)
        found = reader.read(b"<message><body>next</body></message>", 1 << 20)
        assert found is not None
        assert [serialise(one) for one in found] == ["<message><body>next</body></message>"]


@EACH
def test_a_dropped_parser_is_freed_at_once(kind: str) -> None:
    name = "CutParser" if kind == "cut" else "TreeParser"
    gc.disable()
    try:
        stream = fed(kind, HEADER + b"<m")
        before = [type(it).__name__ for it in gc.get_objects()].count(name)
        stream.framer.close()
        after = [type(it).__name__ for it in gc.get_objects()].count(name)
        assert after == before - 1
    finally:
        gc.enable()


@EACH
def test_a_whole_message_is_read_without_a_stream(kind: str) -> None:
    lend = new_parsers(kind)
    for _ in range(3):
        found = lend.read(b"<message xmlns='jabber:client'><body>a</body></message>")
        assert (found.tag if isinstance(found, Element) else found[0]) == "{jabber:client}message"
    assert len(lend) == (0 if kind == WHOLE else 1)
    for wrong in (b"", b" ", b"<a", b"<a>", b"<a/><b/>", b"<a/></stream:stream>", b"a", b"<a/>b"):
        with pytest.raises(Violation):
            lend.read(wrong)
    lend.read(b"<presence/>")
