"""Keys: each bound key is an action; any other terminal input does nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.cli.view.key_bindings import HELP, HINT, Action, actions, tenth

UP, LEFT = b"\x1b[A", b"\x1b[D"


@pytest.mark.parametrize(
    ("key", "action"),
    [
        (b"p", Action.PAUSE_OR_RESUME),
        (b"+", Action.ADD),
        (b"=", Action.ADD),
        (b"-", Action.REMOVE),
        (b"s", Action.STATUS),
        (b"q", Action.STOP),
        (b"?", Action.HELP),
        (b"h", Action.HELP),
    ],
)
def test_a_key_is_an_action(key, action):
    assert actions(key) == [action]


def test_unbound_keys_do_nothing():
    assert actions(b"xyzZ1 \t\r\n:\x00\x01\xff\xfe" + UP + LEFT + b"\x1b[15~\x1bOP") == []


@pytest.mark.parametrize("sequence", [b"\x1bq", b"\x1bOp", b"\x1b[1;5s", b"\x1b\x1b[p", b"\x1b"])
def test_an_escape_sequence_is_not_mistaken_for_its_last_byte(sequence):
    assert actions(sequence) == []
    assert actions(b"s" + sequence) == [Action.STATUS]


def test_keys_arriving_together_are_all_handled():
    assert actions(b"p+" + UP + b"-q") == [
        *(Action.PAUSE_OR_RESUME, Action.ADD, Action.REMOVE, Action.STOP)
    ]


@given(st.binary(max_size=60))
def test_arbitrary_bytes_become_actions_or_nothing(data):
    assert len(actions(data)) <= len(data)
    assert actions(data + b"\r" + b"s")[-1:] == [Action.STATUS] or data.endswith(b"[")


def test_the_help_fits_a_small_window_and_mentions_other_commands():
    assert all(len(line) <= 100 for line in (*HELP, HINT))
    assert "amoc add 100" in HELP[-1]


@pytest.mark.parametrize(("users", "count"), [(0, 1), (1, 1), (14, 1), (16, 2), (100, 10)])
def test_a_tenth_is_at_least_one(users, count):
    assert tenth(users) == count
