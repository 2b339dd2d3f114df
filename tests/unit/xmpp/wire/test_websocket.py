"""WebSocket frames: split anywhere, and invalid in every way."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import websocket
from amoc.xmpp.wire.websocket import FrameReader, FrameViolation, Message, frame, masked_frame

LIMIT = 100_000
lengths = st.sampled_from((0, 1, 125, 126, 127, 65_535, 65_536, 70_000))


def read(data: bytes, *, masked: bool = False, limit: int = LIMIT) -> list[Message]:
    out: list[Message] = []
    FrameReader(limit, masked=masked).feed(data, out)
    return out


def test_the_accept_key_matches_the_example_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_example_frames_of_the_rfc_are_read() -> None:
    assert read(bytes.fromhex("810548656c6c6f")) == [(websocket.TEXT, b"Hello")]
    assert read(bytes.fromhex("818537fa213d7f9f4d5158"), masked=True) == [
        (websocket.TEXT, b"Hello")
    ]
    assert read(bytes.fromhex("010348656c80026c6f")) == [(websocket.TEXT, b"Hello")]


@given(st.lists(lengths, max_size=3), st.integers(1, 50_000), st.booleans())
def test_messages_of_any_length_survive_any_split(
    sizes: list[int], chunk: int, from_client: bool
) -> None:
    sent = [bytes(at % 251 for at in range(size)) for size in sizes]
    make = masked_frame if from_client else frame
    data = b"".join(make(websocket.TEXT, one) for one in sent)
    reader = FrameReader(LIMIT, masked=from_client)
    out: list[Message] = []
    for at in range(0, len(data), chunk):
        reader.feed(data[at : at + chunk], out)
    assert out == [(websocket.TEXT, one) for one in sent]
    assert not reader.pending


@given(st.binary(max_size=8), lengths, st.binary(max_size=3), st.booleans())
def test_the_fast_path_for_one_whole_text_agrees_with_the_usual_one(
    head: bytes, size: int, tail: bytes, is_damaged: bool
) -> None:
    data = (head if is_damaged else b"") + frame(websocket.TEXT, b"x" * size) + tail
    text = FrameReader(LIMIT, masked=False).whole(data)
    if text is not None:
        assert read(data) == [(websocket.TEXT, text)]
    else:
        assert is_damaged or tail or size > 65_535


def test_the_fast_path_rejects_all_but_one_whole_text() -> None:
    reader = FrameReader(10, masked=False)
    for data in (b"", b"\x81", b"\x81\x81keysa", b"\x89\x01a", b"\x01\x01a", b"\x81\x7e\x00"):
        assert reader.whole(data) is None
    assert reader.whole(frame(websocket.TEXT, b"x" * 11)) is None  # longer than the limit
    assert FrameReader(10, masked=True).whole(frame(websocket.TEXT, b"x")) is None
    reader.feed(b"\x01\x01a", [])
    assert reader.whole(frame(websocket.TEXT, b"x")) is None  # between fragments of another message
    reader = FrameReader(10, masked=False)
    reader.feed(b"\x81", [])
    assert reader.whole(frame(websocket.TEXT, b"x")) is None  # inside a frame


def test_a_frame_sent_byte_by_byte_is_complete_only_at_the_last_byte() -> None:
    data = masked_frame(websocket.TEXT, b"x" * 300)
    reader = FrameReader(LIMIT, masked=True)
    out: list[Message] = []
    for at in range(len(data) - 1):
        reader.feed(data[at : at + 1], out)
        assert reader.pending
        assert not out
    reader.feed(data[-1:], out)
    assert out == [(websocket.TEXT, b"x" * 300)]


def test_a_control_frame_may_come_between_two_fragments() -> None:
    data = b"\x01\x01a" + frame(websocket.PING, b"p") + b"\x00\x01b" + b"\x80\x01c"
    assert read(data) == [(websocket.PING, b"p"), (websocket.TEXT, b"abc")]


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"\x81\x81keysa", websocket.PROTOCOL_ERROR, "must not be masked"),
        (b"\xc1\x01a", websocket.PROTOCOL_ERROR, "extension"),
        (b"\x83\x01a", websocket.PROTOCOL_ERROR, "extension"),
        (b"\x82\x01a", websocket.UNSUPPORTED_DATA, "text messages"),
        (b"\x02\x01a", websocket.UNSUPPORTED_DATA, "text messages"),
        (b"\x09\x01a", websocket.PROTOCOL_ERROR, "control frame"),
        (b"\x89\x7e\x00\x7e" + b"a" * 126, websocket.PROTOCOL_ERROR, "control frame"),
        (b"\x80\x01a", websocket.PROTOCOL_ERROR, "a continuation must follow a fragment"),
        (b"\x01\x01a\x81\x01b", websocket.PROTOCOL_ERROR, "a new message a finished one"),
        (b"\x01\x01a\x01\x01b", websocket.PROTOCOL_ERROR, "a new message a finished one"),
        (b"\x81\x7f" + b"\xff" * 8, websocket.TOO_BIG, "at most 100000 bytes"),
        (b"\x81\x7f" + (LIMIT + 1).to_bytes(8, "big"), websocket.TOO_BIG, "at most 100000"),
        ((b"\x01" + b"\x7e\xff\xff" + b"a" * 65_535), None, None),
        ((b"\x01\x7e\xff\xff" + b"a" * 65_535 + b"\x80\x7e\xff\xff"), websocket.TOO_BIG, "100000"),
        (b"\x01\x00" + b"\x00\x00" * websocket.MAX_FRAGMENTS, websocket.TOO_BIG, "fragments"),
    ],
)
def test_a_violation_is_detected_from_the_frame_header(
    data: bytes, code: int | None, text: str | None
) -> None:
    if code is None:
        assert read(data) == []
        return
    with pytest.raises(FrameViolation, match=text) as raised:
        read(data)
    assert raised.value.code == code


def test_messages_before_a_violation_are_delivered() -> None:
    out: list[Message] = []
    with pytest.raises(FrameViolation):
        FrameReader(LIMIT, masked=False).feed(frame(websocket.TEXT, b"good") + b"\xff\xff", out)
    assert out == [(websocket.TEXT, b"good")]


def test_an_unmasked_client_is_refused() -> None:
    with pytest.raises(FrameViolation, match="must be masked"):
        read(frame(websocket.TEXT, b"a"), masked=True)


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_messages_or_a_violation(data: bytes, from_client: bool) -> None:
    with contextlib.suppress(FrameViolation):
        for _, message in read(data, masked=from_client, limit=125):
            assert len(message) <= 125


@given(st.integers(0, 5000), st.text(max_size=60))
def test_a_close_frame_round_trips_its_code_and_reason(code: int, reason: str) -> None:
    data = websocket.close_frame_data(code, reason)
    assert len(data) <= websocket.MAX_CONTROL_BYTES
    found, said = websocket.close_code(data)
    assert found == code
    assert reason.startswith(said.rstrip("\ufffd"))


def test_an_empty_close_frame_has_no_code() -> None:
    assert websocket.close_code(b"") == (websocket.NO_CODE, "")
