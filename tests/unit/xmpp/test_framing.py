"""Framing: any chunks give the same stanzas, and the worst that follows is a violation."""

from __future__ import annotations

from itertools import pairwise
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp import framing
from amoc.xmpp.framing import MAX_DEPTH, MAX_TAG_BYTES, Framer
from amoc.xmpp.xml_text import serialise

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' id='a1' version='1.0' xml:lang='en'>"
)
UNUSUAL = (
    b'<s:stream xmlns="jabber:client" xmlns:s="http://etherx.jabber.org/streams"'
    b' xmlns:extra="urn:extra" id=">" version="1.0">'
)
STANZAS = [
    b"<presence/>",
    b"<message to='a@b/c' type='chat'><body>&lt;&amp; \xc3\xa4 \xf0\x9f\x98\x80</body></message>",
    b"<message><body><![CDATA[<not> a tag]]></body></message>",
    b'<iq type="result" id=">"><query xmlns="urn:q"><item a=\'"\' b="/>"/>tail<item/></query></iq>',
    b"<message xml:lang='de' xmlns:p='urn:p' p:attr='1'>\n<p:child/>\r\n</message >",
    b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>",
    b"<iq type='get'><a><b><c><d>deep</d></c></b></a></iq>",
]
BETWEEN = [b"", b" ", b"\n", b" \t\r\n "]


def texts(elements: list[Element]) -> list[str]:
    return [serialise(element) for element in elements]


def read(chunks: list[bytes], limit: int = framing.MAX_STANZA_BYTES) -> tuple[Framer, list[str]]:
    framer = Framer(limit)
    found: list[str] = []
    for chunk in chunks:
        found += texts(framer.feed(chunk))
    return framer, found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


streams = st.tuples(
    st.sampled_from([HEADER, UNUSUAL]),
    st.lists(st.tuples(st.sampled_from(BETWEEN), st.sampled_from(STANZAS)), max_size=12),
    st.sampled_from(BETWEEN),
)
places = st.lists(st.integers(min_value=0, max_value=10_000), max_size=30)


def whole(stream: tuple[bytes, list[tuple[bytes, bytes]], bytes]) -> bytes:
    header, stanzas, end = stream
    return header + b"".join(gap + stanza for gap, stanza in stanzas) + end


@pytest.mark.slow
@given(streams, places)
def test_any_chunks_give_the_same_stanzas(stream: tuple, cuts: list[int]) -> None:
    header, stanzas, _ = stream
    data = whole(stream)
    if header is UNUSUAL:
        data = data.replace(b"stream:features", b"s:features")
    framer, found = read(cut(data, cuts))
    assert framer.violation is None
    assert len(found) == len(stanzas)
    assert found == read([data])[1]
    assert framer.header is not None
    assert framer.header["version"] == "1.0"


@given(streams)
def test_bytes_one_by_one_give_the_same_stanzas(stream: tuple) -> None:
    data = whole((HEADER, *stream[1:]))
    framer, found = read([bytes([byte]) for byte in data])
    assert framer.violation is None
    assert found == read([data])[1]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(min_value=1, max_value=60)), max_size=200),
)
def test_streams_that_share_parsers_do_not_mix(turns: list[tuple[int, int]]) -> None:
    data = [
        HEADER
        + b"".join(b"<message id='%d-%d'><body>%d</body></message>" % (n, i, n) for i in range(40))
        for n in range(3)
    ]
    framers = [Framer() for _ in data]
    found: list[list[str]] = [[], [], []]
    at = [0, 0, 0]
    for which, step in [*turns, (0, 10**6), (1, 10**6), (2, 10**6)]:
        found[which] += texts(framers[which].feed(data[which][at[which] : at[which] + step]))
        at[which] += step
    for number in range(3):
        assert framers[number].violation is None
        assert found[number] == read([data[number]])[1]
        assert len(found[number]) == 40


@given(st.binary(max_size=400), places)
def test_random_bytes_are_never_more_than_a_violation(noise: bytes, cuts: list[int]) -> None:
    read(cut(noise, cuts))
    framer, _ = read([HEADER, *cut(noise, cuts)])
    framer.discard()


@given(st.text(alphabet="<>/&;'\"= ![]?-abxmlns:#", max_size=80), places)
def test_what_looks_like_xml_is_never_more_than_a_violation(noise: str, cuts: list[int]) -> None:
    framer, _ = read([HEADER, *cut(noise.encode(), cuts)])
    framer.discard()


@given(streams, st.integers(min_value=0, max_value=10_000))
def test_a_cut_stream_gives_the_stanzas_that_were_whole(stream: tuple, place: int) -> None:
    data = whole((HEADER, *stream[1:]))
    place %= len(data) + 1
    framer, found = read([data[:place]])
    assert framer.violation is None
    assert found == read([data])[1][: len(found)]
    assert framer.place
    framer.discard()


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE x>", "restricted-xml"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        (b"<?php ?>", "restricted-xml"),
        (b"<!-- hi -->", "restricted-xml"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
        (b"<message/>", "bad-format"),
        (b"<stream xmlns='urn:other'/>", "invalid-namespace"),
        (HEADER.replace(b"'jabber:client'", b"'jabber:server'"), "invalid-namespace"),
        (HEADER + b"<!-- hi -->", "restricted-xml"),
        (HEADER + b"<message><!-- hi --></message>", "restricted-xml"),
        (HEADER + b"<message><?pi?></message>", "restricted-xml"),
        (HEADER + b"<message>&lol;</message>", "restricted-xml"),
        (HEADER + b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (HEADER + b"hello", "bad-format"),
        (HEADER + b"<message></presence>", "not-well-formed"),
        (HEADER + b"<message>\xff\xfe</message>", "not-well-formed"),
        (HEADER + b"<message>\xc0\x80</message>", "not-well-formed"),
        (HEADER + b"<message>&#0;</message>", "not-well-formed"),
        (HEADER + b"<message>\x01</message>", "not-well-formed"),
        (HEADER + b"<message a='1' a='2'/>", "not-well-formed"),
        (HEADER + b"<message><p:x/></message>", "not-well-formed"),
        (b"\xff\xfe<\x00", "not-well-formed"),
    ],
)
def test_what_xmpp_forbids_is_a_violation(data: bytes, condition: str) -> None:
    for chunks in ([data], [bytes([byte]) for byte in data]):
        framer, found = read([*chunks, b"<presence/>"])
        assert framer.violation is not None
        assert framer.violation.condition == condition
        assert found == []


def test_what_came_before_a_violation_is_delivered() -> None:
    framer, found = read([HEADER + b"<presence/><message/><!-- -->"])
    assert len(found) == 2
    assert framer.violation is not None
    assert framer.feed(b"<presence/>") == []


def test_the_end_of_the_stream_is_noticed_and_what_follows_is_nobodys_business() -> None:
    framer, found = read([HEADER + b"<presence/></stream:stream>  <garbage", b"<presence/>"])
    assert len(found) == 1
    assert framer.closed
    assert framer.violation is None


def test_whitespace_between_stanzas_needs_no_parser() -> None:
    framer, _ = read([HEADER + b"<presence/>"])
    for _ in range(1000):
        framer.feed(b" \n")
    assert framer._machine is None
    assert framer.place == "between two stanzas"


@pytest.mark.parametrize("size", [1, 7, 4096, 10**9])
def test_a_stanza_has_a_limit_whatever_its_chunks(size: int) -> None:
    def stanza(length: int) -> bytes:
        return b"<message><body>" + b"x" * (length - 22) + b"</body></message>"

    def chunks(data: bytes) -> list[bytes]:
        return [data[at : at + size] for at in range(0, len(data), size)]

    fits, _ = read([HEADER, *chunks(stanza(2000))], limit=2000)
    assert fits.violation is None
    over, found = read([HEADER, *chunks(stanza(2001))], limit=2000)
    assert over.violation is not None
    assert over.violation.condition == "policy-violation"
    assert "2000 bytes" in over.violation.text
    assert found == []


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (HEADER + b"<message><body>", b"x" * 1000),
        (HEADER + b"<message>", b"<a></a>" * 100),
        (HEADER + b"<message><a b='", b"x" * 1000),
        (HEADER + b"<message><a b='", b">" * 1000),
        (HEADER + b"<message>", b"<a>" * 3),
        (HEADER + b"<", b"x" * 1000),
        (b"<stream:stream a='", b"x" * 1000),
        (b"", b" " * 1000),
        (HEADER + b"<message><body><![CDATA[", b"x" * 1000),
    ],
    ids=range(9),
)
def test_what_never_ends_is_a_violation_before_much_of_it_is_kept(
    begin: bytes, more: bytes
) -> None:
    limit = 50_000
    framer = Framer(limit)
    framer.feed(begin)
    fed = 0
    while framer.violation is None and fed < 2 * (limit + MAX_TAG_BYTES):
        framer.feed(more)
        fed += len(more)
    assert framer.violation is not None
    assert framer.violation.condition == "policy-violation"
    assert framer._machine is None


def test_depth_has_a_limit() -> None:
    def nested(depth: int) -> bytes:
        return b"<message>" + b"<a>" * (depth - 1) + b"</a>" * (depth - 1) + b"</message>"

    assert read([HEADER + nested(MAX_DEPTH)])[0].violation is None
    violation = read([HEADER + nested(MAX_DEPTH + 1)])[0].violation
    assert violation is not None
    assert violation.condition == "policy-violation"


def test_parsers_are_retired_so_that_names_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "WORN_BYTES", 5000)
    monkeypatch.setattr(framing, "_pool", [])
    made = []
    original = framing._Machine.__init__

    def counted(machine: framing._Machine) -> None:
        made.append(machine)
        original(machine)

    monkeypatch.setattr(framing._Machine, "__init__", counted)
    for header in (HEADER, UNUSUAL):
        made.clear()
        framer = Framer()
        framer.feed(header)
        for number in range(1000):
            assert len(framer.feed(b"<message><n%d a%d='1'/></message>" % (number, number))) == 1
        assert framer.violation is None
        assert 5 <= len(made) <= 20
        assert all(machine.fed <= 5100 for machine in made)


def test_an_idle_stream_holds_no_parser() -> None:
    framers = []
    for _ in range(100):
        framer, _ = read([HEADER, STANZAS[1], STANZAS[3]])
        framers.append(framer)
    assert all(framer._machine is None for framer in framers)
    assert len(framing._pool) <= framing.POOL_SIZE
