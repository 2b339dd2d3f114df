"""Keys: whatever pieces the bytes come in, they mean the same; and nothing typed does harm."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.cli.view.key_bindings import (
    HELP,
    HINT,
    MAX_HISTORY,
    MAX_TYPED,
    Help,
    Keys,
    Refused,
    Step,
    Toggle,
    tenth,
)
from amoc.control.commands import Command

UP, DOWN, LEFT, ESCAPE = b"\x1b[A", b"\x1b[B", b"\x1b[D", b"\x1b"


@pytest.mark.parametrize(
    ("key", "action"),
    [
        (b"p", Toggle()),
        (b"+", Step(1)),
        (b"=", Step(1)),
        (b"-", Step(-1)),
        (b"s", Command("status", {})),
        (b"q", Command("stop", {})),
        (b"?", Help()),
    ],
)
def test_a_key_is_an_action(key, action):
    keys = Keys()
    assert keys.feed(key) == [action]
    assert keys.typed is None


def test_keys_that_mean_nothing_do_nothing():
    keys = Keys()
    assert keys.feed(b"xyzZ1 \t\x00\x01\xff\xfe" + UP + LEFT + b"\x1b[15~\x1bOP") == []
    assert keys.typed is None


@pytest.mark.parametrize("opener", [b":", b"\r", b"\n"])
def test_a_line_is_opened_typed_and_given(opener):
    keys = Keys()
    assert keys.feed(opener) == []
    assert keys.typed == ""
    assert keys.feed(b"add 5 -- more\r") == [Command("add", {"count": 5}, "more")]
    assert keys.typed is None


def test_keys_are_text_while_a_line_is_typed():
    keys = Keys()
    assert keys.feed(b":note pq+-s?:") == []
    assert keys.typed == "note pq+-s?:"


def test_a_line_is_edited():
    keys = Keys()
    keys.feed(b":add 55\x7f\b6")
    assert keys.typed == "add 6"
    keys.feed(b"\x17")
    assert keys.typed == "add"
    keys.feed(b"\x15")
    assert keys.typed == ""
    keys.feed(b"\x7f\x17")
    assert keys.typed == ""
    keys.feed("note grün 🐦\x7f".encode())
    assert keys.typed == "note grün "


def test_an_empty_line_is_closed_without_a_word():
    for ending in (b"\r", b"  \r", b"\x04"):
        keys = Keys()
        assert keys.feed(b":" + ending) == []
        assert keys.typed is None


def test_escape_takes_a_line_back_once_nothing_follows_it():
    keys = Keys()
    keys.feed(b":stop" + ESCAPE)
    assert keys.unfinished
    assert keys.typed == "stop"
    keys.pause()
    assert keys.typed is None
    assert not keys.unfinished
    assert keys.feed(b"p") == [Toggle()]


def test_a_key_of_several_bytes_may_come_in_pieces():
    keys = Keys()
    keys.feed(b":pause\r:")
    for byte in UP:
        keys.feed(bytes([byte]))
    assert keys.typed == "pause"
    for byte in "ü".encode():
        keys.feed(bytes([byte]))
    assert keys.typed == "pauseü"


def test_earlier_lines_come_back_and_the_draft_with_them():
    keys = Keys()
    keys.feed(b":pause\r:resume\r:resume\r:dra")
    keys.feed(UP)
    assert keys.typed == "resume"
    keys.feed(UP + UP + UP)
    assert keys.typed == "pause"
    keys.feed(DOWN + DOWN)
    assert keys.typed == "dra"
    keys.feed(DOWN)
    assert keys.typed == "dra"


def test_a_line_that_is_no_command_can_be_brought_back_to_be_mended():
    keys = Keys()
    (refused,) = keys.feed(b":add many\r")
    assert isinstance(refused, Refused)
    assert "add must be followed by a whole number, but is by 'many'" in refused.why
    assert keys.typed is None, "single keys are keys again"
    keys.feed(b":")
    keys.feed(UP)
    assert keys.typed == "add many"
    assert keys.feed(b"\x15add 3\r") == [Command("add", {"count": 3})]


def test_help_can_be_typed_too():
    assert Keys().feed(b":help\r") == [Help()]
    assert Keys().feed(b"::?\r") == [Help()]
    assert all(len(line) <= 100 for line in (*HELP, HINT))


def test_what_is_kept_has_a_limit():
    keys = Keys()
    keys.feed(b":" + b"x" * (MAX_TYPED + 10))
    assert len(keys.typed) == MAX_TYPED
    keys.feed(b"\x15")
    for number in range(MAX_HISTORY + 50):
        keys.feed(f"note {number}\r:".encode())
    assert len(keys._history) == MAX_HISTORY
    keys.feed(b"\x1b[" + b"1" * 1000)
    assert not keys.unfinished


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_the_pieces_in_which_bytes_come_do_not_matter(data, cuts):
    whole, pieces = Keys(), Keys()
    expected = whole.feed(data)
    found = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(edges):
        found += pieces.feed(data[begin:end])
    assert found == expected
    assert (pieces.typed, pieces.unfinished) == (whole.typed, whole.unfinished)


@given(st.lists(st.sampled_from([b":", b"\r", UP, DOWN, ESCAPE, b"\x7f", b"add 1", b"q", None])))
def test_no_sequence_of_keys_leaves_the_keyboard_dead(typed):
    keys = Keys()
    for one in typed:
        keys.pause() if one is None else keys.feed(one)
    keys.pause()
    if keys.typed is not None:
        keys.feed(ESCAPE)
        keys.pause()
    assert keys.feed(b"s") == [Command("status", {})]


@pytest.mark.parametrize(("users", "count"), [(0, 1), (1, 1), (14, 1), (16, 2), (100, 10)])
def test_a_tenth_is_at_least_one(users, count):
    assert tenth(users) == count
