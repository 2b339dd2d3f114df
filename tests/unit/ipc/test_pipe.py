"""The pipe between node and supervisor: records survive any split of the bytes."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import PeerError
from amoc.ipc import pipe
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Forked, Note, Ready
from amoc.ipc.messages.users import StopUsers

LINE = Codec(Forked | Note | Ready | StopUsers)
records = st.lists(
    st.one_of(
        st.builds(Forked, st.integers(0, 511), st.integers(1, 99), st.integers(2, 2**22)),
        st.builds(Note, st.sampled_from(["info", "error"]), st.text(max_size=300)),
        st.just(Ready([], [], [], [])),
        st.builds(StopUsers, st.floats(0, 1e6)),
    ),
    max_size=12,
)


@given(records, st.data())
def test_records_survive_any_split_of_the_bytes(sent, data):
    stream = b"".join(pipe.encode(LINE, one) for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder, heard = pipe.Decoder(LINE), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += decoder.feed(stream[start:end])
    assert heard == sent


def test_a_record_is_complete_only_with_its_last_byte():
    decoder, stream = pipe.Decoder(LINE), pipe.encode(LINE, Note("info", "é" * 100))
    heard = [list(decoder.feed(stream[n : n + 1])) for n in range(len(stream))]
    assert heard[:-1] == [[]] * (len(stream) - 1)
    assert heard[-1] == [Note("info", "é" * 100)]


def test_an_absurd_length_is_refused_before_anything_is_buffered():
    with pytest.raises(PeerError, match="got 4294967295"):
        list(pipe.Decoder(LINE).feed(b"\xff\xff\xff\xff"))


@given(st.binary(min_size=4, max_size=80))
def test_garbage_is_refused_or_waited_for(data):
    with contextlib.suppress(PeerError):
        list(pipe.Decoder(LINE).feed(data))


def test_what_was_written_is_read_one_record_at_a_time_and_no_byte_beyond():
    reading, writing = os.pipe()
    try:
        pipe.write(writing, LINE, Ready([], [], [], []))
        pipe.write(writing, LINE, StopUsers(3.0))
        os.write(writing, b"rest")
        assert pipe.read_one(reading, LINE) == Ready([], [], [], [])
        assert pipe.read_one(reading, LINE) == StopUsers(3.0)
        assert os.read(reading, 100) == b"rest"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_record_larger_than_the_pipe_is_written_whole():
    reading, writing = os.pipe()
    large = Note("info", "x" * 1_000_000)
    writer = threading.Thread(target=pipe.write, args=(writing, LINE, large))
    try:
        writer.start()
        assert pipe.read_one(reading, LINE) == large
        writer.join(10)
        assert not writer.is_alive()
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("kept", [0, 3, 4, 6])
def test_an_end_inside_a_record_is_an_error(kept):
    reading, writing = os.pipe()
    try:
        os.write(writing, pipe.encode(LINE, StopUsers(1.0))[:kept])
        os.close(writing)
        with pytest.raises(PeerError, match="the other end of the link was closed"):
            pipe.read_one(reading, LINE)
    finally:
        os.close(reading)
