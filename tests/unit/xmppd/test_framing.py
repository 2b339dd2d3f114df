from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmppd import framing
from amoc.xmppd.framing import FramerPool, element
from amoc.xmppd.wire import StreamFailure

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
ODD_HEADER = (
    b"<s:stream to='localhost' xmlns='urn:odd' xmlns:c='jabber:client' "
    b"xmlns:s='http://etherx.jabber.org/streams'>"
)


class Recorder:
    """A stream that notes what it is told."""

    def __init__(self, *, max_stanza: int = 1000, max_depth: int = 5) -> None:
        self.framer: framing.Framer | None = None
        self.pending: bytearray | None = None
        self.header: bytes | None = None
        self.opening = True
        self.closed = False
        self.max_stanza = max_stanza
        self.max_depth = max_depth
        self.headers: list[str] = []
        self.stanzas: list[tuple[str, bytes]] = []
        self.restart_after: bytes | None = None

    def opened(self, name: str, attrs: dict[str, str]) -> bool:
        self.headers.append(attrs.get("to", ""))
        return self.closed

    def stanza(self, name: str, attrs: dict[str, str], raw: bytes) -> bool:
        self.stanzas.append((name, raw))
        if raw == self.restart_after:
            self.opening = True
        return self.opening

    def ended(self) -> None:
        self.closed = True

    @property
    def raws(self) -> list[bytes]:
        return [raw for _, raw in self.stanzas]


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def fed(data: bytes, cuts: list[int], pool: FramerPool | None = None) -> tuple[Recorder, str]:
    """The stream that got `data` in these chunks, and the condition it ended with."""
    stream = Recorder()
    pool = pool or FramerPool()
    try:
        for chunk in chunked(data, cuts):
            pool.feed(stream, chunk)
    except StreamFailure as failure:
        return stream, failure.condition
    return stream, ""


CUTS = st.lists(st.integers(0, 4000), max_size=30)
TEXT = st.sampled_from(["hello", "a > b", "/>", "é\U0001f600", "&lt;&amp;&#10;", "]]", ""])
ATTRIBUTE = st.sampled_from(
    ["", " to='a@b/c>d'", ' to="it\'s/>"', " id='x' type = 'chat'", " a='\n/'", " xml:lang='de'"]
)
EMPTY = st.builds(
    "<{0}{1}{2}/>".format, st.sampled_from("mnp"), ATTRIBUTE, st.sampled_from(["", " "])
)
FILLED = st.builds("<x{}>{}<y{}>{}</y>{}</x >".format, ATTRIBUTE, TEXT, ATTRIBUTE, TEXT, TEXT)
FLAT = st.builds("<message{0}>{1}</message>".format, ATTRIBUTE, TEXT)
STANZA = st.one_of(EMPTY, FILLED, FLAT, st.just("<message><body/></message>")).map(str.encode)
GAP = st.sampled_from([b"", b" ", b"\n", b"\r\n", b"\r", b" \t "])


@given(st.lists(st.tuples(STANZA, GAP), max_size=8), CUTS, st.booleans())
def test_any_chunking_gives_the_same_stanzas(
    parts: list[tuple[bytes, bytes]], cuts: list[int], odd: bool
) -> None:
    header, end = (ODD_HEADER, b"</s:stream>") if odd else (HEADER, b"</stream:stream>")
    data = header + b"".join(stanza + gap for stanza, gap in parts) + end
    stream, condition = fed(data, cuts)
    assert condition == ""
    assert stream.headers == ["localhost"]
    assert stream.raws == [stanza for stanza, _ in parts]
    assert stream.closed


@given(st.lists(STANZA, min_size=1, max_size=4), st.data())
def test_streams_that_share_parsers_do_not_disturb_each_other(
    stanzas: list[bytes], data: st.DataObject
) -> None:
    pool = FramerPool()
    streams = [Recorder() for _ in range(3)]
    queues = []
    for number, stream in enumerate(streams):
        pool.feed(stream, HEADER if number else ODD_HEADER)
        queues.append(chunked(b"".join(stanzas), data.draw(CUTS)))
    while any(queues):
        number = data.draw(st.sampled_from([n for n, queue in enumerate(queues) if queue]))
        pool.feed(streams[number], queues[number].pop(0))
    for stream in streams:
        assert stream.raws == stanzas


@given(st.lists(STANZA, min_size=1, max_size=3), CUTS)
def test_a_restart_begins_a_new_stream_at_the_very_next_byte(
    stanzas: list[bytes], cuts: list[int]
) -> None:
    stream = Recorder()
    stream.restart_after = b"<auth/>"
    pool = FramerPool()
    for chunk in chunked(HEADER + b"<auth/>" + HEADER + b"".join(stanzas), cuts):
        pool.feed(stream, chunk)
    assert stream.headers == ["localhost", "localhost"]
    assert stream.raws == [b"<auth/>", *stanzas]


@given(st.binary(max_size=200), CUTS, st.booleans())
def test_random_bytes_never_raise_anything_but_a_stream_failure(
    noise: bytes, cuts: list[int], inside: bool
) -> None:
    fed((HEADER if inside else b"") + noise, cuts)


MARKUP = st.lists(
    st.sampled_from(
        [
            b"<",
            b">",
            b"/",
            b"'",
            b"a",
            b" ",
            b"=",
            b"<a>",
            b"</a>",
            b"<a/>",
            b"&lt;",
            b"]]>",
            b"\r",
            b"<![CDATA[",
            b"<!--",
            b"-->",
            b"<?p ?>",
            b"</stream:stream>",
            b"\xff",
            b"xmlns='u'",
        ]
    ),
    max_size=40,
).map(b"".join)


@given(MARKUP, CUTS)
def test_what_looks_like_markup_is_cut_alike_in_all_chunkings(
    noise: bytes, cuts: list[int]
) -> None:
    whole, failed_whole = fed(HEADER + noise, [])
    parts, failed_parts = fed(HEADER + noise, cuts)
    assert parts.raws == whole.raws
    assert bool(parts.closed or failed_parts) == bool(whole.closed or failed_whole)
    for raw in whole.raws:
        assert len(element(None, b"<x>" + raw + b"</x>")) == 1, "each is one whole element"


@given(STANZA, st.integers(0, 3000))
def test_a_stream_that_is_cut_off_yields_only_what_was_whole(stanza: bytes, length: int) -> None:
    data = HEADER + stanza + stanza
    stream, condition = fed(data[: length % (len(data) + 1)], [])
    assert condition == ""
    assert stream.raws in ([], [stanza], [stanza, stanza])


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE x>", "restricted-xml"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        (b"<?go on?>", "restricted-xml"),
        (b"<!-- psst -->", "restricted-xml"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "unsupported-encoding"),
        (HEADER + b"<!-- psst -->", "restricted-xml"),
        (HEADER + b"<m><!-- psst --></m>", "restricted-xml"),
        (HEADER + b"<m><?go on?></m>", "restricted-xml"),
        (HEADER + b"<m>&nbsp;</m>", "restricted-xml"),
        (HEADER + b"<!DOCTYPE x>", "not-well-formed"),
        (HEADER + b"<m>\xff</m>", "not-well-formed"),
        (HEADER + b"<m>\xed\xa0\x80</m>", "not-well-formed"),
        (HEADER + b"<m>\x00</m>", "not-well-formed"),
        (HEADER + b"<m></n>", "not-well-formed"),
        (HEADER + b"<m/></m>", "not-well-formed"),
        (HEADER + b"<m a='1' a='2'/>", "not-well-formed"),
        (HEADER + b"<p:m/>", "not-well-formed"),
        (HEADER + b"hello", "bad-format"),
        (HEADER + b"<m/>hello<m/>", "bad-format"),
        (HEADER + b"<m/>hello</stream:stream>", "bad-format"),
        (HEADER + b"<![CDATA[hello]]><m/>", "bad-format"),
        (HEADER + b"<a><a><a><a><a/></a></a></a></a>", ""),
        (HEADER + b"<a><a><a><a><a><a/></a></a></a></a></a>", "policy-violation"),
        (HEADER + b"<m>" + b"x" * 993 + b"</m>", ""),
        (HEADER + b"<m>" + b"x" * 994 + b"</m>", "policy-violation"),
        (HEADER + b"<m>" + b"x" * 5000, "policy-violation"),
        (HEADER + b"<m a='" + b"x" * 5000, "policy-violation"),
        (b"<s:stream xmlns:s='urn:x' to='" + b"x" * 5000, "policy-violation"),
        (b"hello", "not-well-formed"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_ends_the_stream_with_its_condition(
    data: bytes, condition: str
) -> None:
    for size in (1, 7, len(data)):
        assert fed(data, list(range(0, len(data), size)))[1] == condition


def test_an_idle_stream_holds_no_parser() -> None:
    pool = FramerPool()
    streams = [Recorder() for _ in range(20)]
    for stream in streams:
        pool.feed(stream, HEADER)
        pool.feed(stream, b"<m/> ")
        assert stream.framer is None
        assert stream.pending is None
    pool.feed(streams[0], b"<m")
    assert streams[0].framer is not None
    assert bytes(streams[0].pending or b"") == b"<m"
    pool.feed(streams[0], b"/>")
    assert streams[0].framer is None


def test_a_stream_with_its_own_namespaces_keeps_its_own_parser() -> None:
    pool = FramerPool()
    odd, other = Recorder(), Recorder()
    pool.feed(odd, ODD_HEADER)
    pool.feed(other, HEADER)
    pool.feed(odd, b"<c:message/>")
    pool.feed(other, b"<message/>")
    assert odd.framer is not None
    assert other.framer is None
    assert [name for name, _ in odd.stanzas] == ["jabber:client message"]
    with pytest.raises(StreamFailure):
        pool.feed(other, b"<c:message/>")


@pytest.mark.parametrize("header", [HEADER, ODD_HEADER])
@pytest.mark.parametrize("tail", [b"", b"<m"], ids=["whole", "cut"])
def test_a_worn_parser_is_replaced_between_two_stanzas(
    header: bytes, tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[framing.Framer] = []
    original = framing.Framer.__init__

    def counting(self: framing.Framer) -> None:
        made.append(self)
        original(self)

    monkeypatch.setattr(framing.Framer, "__init__", counting)
    monkeypatch.setattr(framing, "_RETIRE_BYTES", 2000)
    pool = FramerPool()
    stream = Recorder()
    pool.feed(stream, header)
    stanza = b"<m>" + b"x" * 200 + b"</m>"
    count = 100
    # Each chunk ends inside a stanza, when there is a tail: never a moment of rest between chunks.
    rest = b""
    for _ in range(count):
        pool.feed(stream, rest + stanza + tail)
        rest = b"/>" if tail else b""
    assert stream.raws.count(stanza) == count
    fed_bytes = count * (len(stanza) + len(tail))
    assert len(made) >= fed_bytes // (2000 + len(header) + 600)


def test_a_carriage_return_between_stanzas_is_not_lent_to_another_stream() -> None:
    pool = FramerPool()
    first, second = Recorder(), Recorder()
    pool.feed(first, HEADER)
    pool.feed(second, HEADER)
    pool.feed(first, b"<a/>\r")
    pool.feed(second, b"<b/>")
    pool.feed(first, b"<c/>")
    assert first.raws == [b"<a/>", b"<c/>"]
    assert second.raws == [b"<b/>"]
