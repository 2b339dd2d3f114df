"""The pure parts of HTTP: properties that hold for any input."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import brotli
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.base.errors import ScenarioError
from amoc.http import bodies, checks, deadlines, decoding, headers, reader, request, urls
from amoc.http.call import Terms
from amoc.http.known import CREDIT, MAX_KNOWN_BYTES, REST, TRIES, KnownHeads
from amoc.http.pools import FRESH_NS, Pool
from amoc.http.reader import Reader, Violation
from amoc.http.urls import Address, Origin

ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}
BASE = urls.parse("http://shop.example:8080/")
PIECES = st.lists(st.integers(1, 60), max_size=30)


def cut_up(data: bytes, lengths: list[int]) -> list[bytes]:
    """Cut `data` into pieces of these lengths and the rest."""
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [piece for piece in [*pieces, data] if piece]


def answer(status: int, body: bytes, chunks: list[int] | None) -> bytes:
    head = b"HTTP/1.1 %d Some reason\r\nX-Length: %d\r\n" % (status, len(body))
    if chunks is None:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    parts = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in cut_up(body, chunks))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 201, 302, 404, 503]),
            st.binary(max_size=200),
            st.none() | PIECES,
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=4,
    ),
    PIECES,
)
@example([(302, b"x", None, 1), (200, b"y", None, 0)], [])
def test_answers_do_not_depend_on_how_the_input_is_split(said, lengths):
    reader = Reader()
    for status, body, chunks, interim in said * 2:  # the second time, the heads are known
        reader.begin(Terms(deadlines.of(60), 1 << 20))
        whole = b"HTTP/1.1 103 Early Hints\r\nX-Length: 9\r\n\r\n" * interim
        for piece in cut_up(whole + answer(status, body, chunks), lengths):
            assert not reader.complete
            reader.feed(piece)
        assert reader.complete
        assert (reader.status, reader.interim) == (status, interim)
        head = reader.head()
        assert headers.parse(head)["x-length"] == str(len(body))
        reader.remember(head, None)
        assert reader.take() == body
        assert reader.keep_alive


HEAD = b"HTTP/1.1 201 Made\r\nContent-Length: 4\r\n"
TERMS = Terms(deadlines.of(60), 100)


@pytest.fixture
def new_heads(monkeypatch):
    monkeypatch.setattr(reader, "known_heads", KnownHeads())


def read_twice(whole: bytes) -> Reader:
    """Return a reader that has read the second of two identical answers."""
    one = Reader()
    for _ in range(2):
        one.take()
        one.begin(TERMS)
        one.feed(whole)
        assert one.complete
        one.remember(one.head(), None)
    return one


@pytest.mark.usefixtures("new_heads")
def test_an_answer_with_a_known_head_needs_no_parser():
    head = HEAD + b"\r\n"
    for body in (b"body", b"ydob"):
        one = read_twice(head + body)
        assert one.known is not None
        assert one.known.head == one.head() == head[:-4]
        assert (one.status, one.received, one.keep_alive) == (201, len(head) + 4, True)
        assert one.take() == body
    one.begin(TERMS)
    one.feed(head + b"bo")  # this answer takes two reads
    assert not one.complete
    one.feed(b"dy")
    assert one.complete
    assert (one.known, one.head(), one.take()) == (None, head[:-4], b"body")


@pytest.mark.parametrize(
    ("terms", "body", "error"),
    [
        (TERMS, b"body, and more", "sent more"),
        (Terms(deadlines.of(60), 3), b"body", "at most 3 bytes"),
        (Terms(deadlines.of(60), 100, bodyless=True), b"body", "sent more"),
    ],
)
@pytest.mark.usefixtures("new_heads")
def test_limits_apply_to_answers_with_known_heads_too(terms, body, error):
    one = read_twice(HEAD + b"\r\nbody")
    assert one.known is not None
    one.take()
    one.begin(terms)
    with pytest.raises(Violation, match=error):
        one.feed(HEAD + b"\r\n" + body)


@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\nbody",
        HEAD + b"Connection: close\r\n\r\nbody",
        HEAD + b"X: " + b"y" * MAX_KNOWN_BYTES + b"\r\n\r\nbody",
    ],
)
@pytest.mark.usefixtures("new_heads")
def test_a_head_that_does_not_determine_the_framing_is_not_remembered(whole):
    for _ in range(2):
        one = Reader()
        one.begin(TERMS)
        one.feed(whole)
        one.remember(one.head(), None)
        assert (one.complete, one.known, one.take()) == (True, None, b"body")


def test_unknown_heads_are_looked_up_only_occasionally():
    heads = KnownHeads()
    searches = [CREDIT, TRIES, TRIES, CREDIT]
    for turn, count in enumerate(searches):
        for number in range(count):
            assert heads.rest == 0
            assert heads.find(b"%d %d\r\n\r\n" % (turn, number), False) is None
        assert heads.rest == REST
        heads.rest = 0
        if turn == 2:
            heads.learn(b"one", 7, 200, None)
            for _ in range(CREDIT):
                assert heads.find(b"one\r\n\r\n", False) is not None
            for _ in range(CREDIT):  # a miss right after a hit costs no credit
                assert heads.find(b"new\r\n\r\n", True) is None


@given(st.binary(max_size=300), PIECES)
def test_nonsense_is_refused_or_incomplete_and_raises_nothing_else(data, lengths):
    reader = Reader()
    reader.begin(Terms(deadlines.of(60), 1000))
    with suppress(Violation):
        for piece in cut_up(data, lengths):
            reader.feed(piece)
        reader.end()


@pytest.mark.parametrize("encoding", ENCODERS)
@given(body=st.binary(max_size=3000), lengths=PIECES)
def test_compressed_data_is_decoded_whole_and_piecewise(encoding, body, lengths):
    sent = ENCODERS[encoding](body)
    assert decoding.decode(sent, encoding, len(body)) == body
    assert decoding.decode(ENCODERS["gzip"](sent), f"{encoding}, gzip", 9000) == body
    [one] = decoding.decoders(encoding)
    pieces = [b"".join(decoding.feed(one, piece, 3000)) for piece in cut_up(sent, lengths)]
    assert b"".join(pieces) + one.end() == body
    if body:
        with pytest.raises(decoding.TooLong):
            decoding.decode(sent, encoding, len(body) - 1)
    if sent[:-1]:
        with pytest.raises(decoding.Undecodable):
            decoding.decode(sent[:-1], encoding, len(body))


def test_raw_deflate_is_understood():
    raw = zlib.compressobj(wbits=-15)
    assert decoding.decode(raw.compress(b"raw") + raw.flush(), "deflate", 9) == b"raw"


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_decompression_bomb_is_stopped_at_the_limit(encoding):
    bomb = ENCODERS[encoding](bytes(64 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(decoding.TooLong):
        decoding.decode(bomb, encoding, 1 << 20)


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_values_in_paths_and_queries_survive_quoting(value, name):
    target = urls.join(BASE, urls.fill("/a/{x}/b", {"x": value})).target
    assert unquote(target) == f"/a/{value}/b"
    assert target.count("/") == 3
    queried = urls.with_query(target, {name: value})
    assert parse_qsl(queried.partition("?")[2], keep_blank_values=True) == [(name, value)]
    assert queried.isascii()
    assert not set(queried) & set(" \r\n#")


@given(st.text(max_size=30))
def test_any_path_is_quoted_or_refused(path):
    try:
        target = urls.join(BASE, "/" + path).target
    except ScenarioError:
        return
    assert target.startswith("/")
    assert target.isascii()
    assert not set(target) & set(" \r\n#")


def test_urls_are_resolved_as_in_browsers():
    base = urls.parse("https://u:p@[::1]/api/v1")
    assert base == Address(Origin("https", "::1", 443), "/api/v1", "u", "p")
    assert str(urls.join(base, "items?x=1")) == "https://[::1]/api/v1/items?x=1"
    assert urls.join(base, "/items").target == "/api/v1/items"
    assert urls.join(base, "").target == "/api/v1"
    assert urls.join(base, "http://other:81/x").origin == Origin("http", "other", 81)
    here = urls.parse("http://a/b/c?d=1")
    for location, there in {
        "e": "http://a/b/e",
        "/e?f=ü": "http://a/e?f=%C3%BC",
        "//other/": "http://other/",
        "https://a": "https://a/",
        "?g": "http://a/b/c?g",
        "#top": "http://a/b/c?d=1",
    }.items():
        assert str(urls.redirected(here, location)) == there
    for wrong in ("ftp://a/", "mailto:a@b", "http://a:99999/", "http://a b/"):
        with pytest.raises(ScenarioError):
            urls.redirected(here, wrong)


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.lists(st.integers(), max_size=3)),
    st.dictionaries(st.text(max_size=8), st.binary(max_size=50), max_size=3),
)
def test_forms_and_file_uploads_have_the_declared_length(fields, files):
    for body in (
        bodies.of_form(fields),
        bodies.of_files(files, fields),
        bodies.of_files([*files.items(), ("big", Path(__file__))], fields),
    ):
        assert body.length == len(b"".join(body.pieces()))
        assert b"".join(body.pieces()) == b"".join(body.pieces())  # it can be resent


def test_a_body_that_differs_from_its_declared_length_is_an_error():
    for content in ([b"too", b"much"], [b"few"]):
        with pytest.raises(ScenarioError, match="must have exactly the 5 bytes"):
            list(bodies.Body(content, 5).pieces())


def test_request_headers():
    lines = request.Heads({"X": 1, "accept": None}, ("u", "p"), BASE.origin)
    home = lines.lines(BASE.origin)
    assert home == "Host: shop.example:8080\r\nAuthorization: Basic dTpw\r\nX: 1\r\n"
    assert lines.lines(Origin("https", "other", 443)) == "Host: other\r\nX: 1\r\n"
    lines.set("x", None)
    lines.set("Host", "virtual")
    assert lines.lines(BASE.origin) == "Authorization: Basic dTpw\r\nHost: virtual\r\n"
    for name, value in (("X", "a\nb"), ("X", "☎"), ("X:", ""), ("", ""), ("Ü", "")):
        with pytest.raises(ScenarioError):
            headers.line(name, value)


NAMES = st.sampled_from(
    ["Accept", "accept", "HOST", "Authorization", "X-Own", "x-usual", "X-Usual"]
)
VALUES = st.dictionaries(NAMES, st.none() | st.integers(0, 9) | st.sampled_from(["a", "b"]))


@given(VALUES, VALUES, st.booleans())
def test_cached_request_headers_equal_merged_ones(usual, own, is_home):
    heads = request.Heads(usual, ("u", "p"), BASE.origin)
    origin = BASE.origin if is_home else Origin("https", "other", 443)
    for _ in range(2):
        assert heads.lines_with(origin, own) == headers.block(request.merged(heads.of(origin), own))
        heads.set("X-Own", "set")


def test_json_paths():
    value = {"a": [{"b": None}, 2], "": 1}
    assert checks.at(value, "a.0.b") is None
    assert checks.at(value, "a.-1") == 2
    assert checks.at(value, "") is value
    for path in ("a.2", "a.x", "b", "a.0.b.c", "a.1.0"):
        assert checks.at(value, path) is checks.MISSING


class _Idle:
    """A connection in a pool that was last used at `end_ns`."""

    def __init__(self, pool: Pool[_Idle], end_ns: int = 0, answers: bool = True) -> None:
        self.pool = pool
        self.end_ns = end_ns
        self.is_open = self.answers = answers

    def is_alive(self) -> bool:
        if not self.answers:
            self.close()
        return self.answers

    def close(self) -> None:
        self.is_open = False
        self.pool.discard(self)


def test_a_pool_hands_out_the_last_used_connection_first_and_keeps_no_more_than_its_limit() -> None:
    pool = Pool[_Idle](3)
    first, second, third, fourth = (_Idle(pool) for _ in range(4))
    for one in (first, second, third, fourth):
        pool.keep(one)
    assert not fourth.is_open
    assert [pool.take(0), pool.take(0)] == [third, second]
    pool.keep(third)
    assert [pool.take(0), pool.take(0), pool.take(0)] == [third, first, None]


def test_a_pool_checks_connections_that_were_idle_for_long_and_forgets_closed_ones() -> None:
    pool = Pool[_Idle](3)
    living, fresh, dead = _Idle(pool), _Idle(pool, 2 * FRESH_NS), _Idle(pool)
    for one in (living, fresh, dead):
        pool.keep(one)
    dead.answers = False
    assert pool.take(2 * FRESH_NS) is fresh
    assert not dead.is_open
    assert pool.take(2 * FRESH_NS) is living
    for one in (living, fresh):
        pool.keep(one)
    living.close()
    pool.close()
    assert not fresh.is_open
    assert pool.take(0) is None
