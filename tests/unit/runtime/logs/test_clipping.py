"""Extra data of a log line take no more room than allowed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.base.redaction import HIDDEN
from amoc.runtime.logs.clipping import CUT, MAX_DEPTH, clip

MOST = 200
WORDS = st.text("abc é", max_size=400)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | WORDS,
    lambda inside: st.lists(inside, max_size=20) | st.dictionaries(WORDS, inside, max_size=20),
    max_leaves=60,
)


@settings(max_examples=50)
@given(VALUES)
def test_data_that_fit_are_kept_and_others_are_cut_to_the_limit(value: Any) -> None:
    found = clip(value, MOST)
    size = len(json.dumps(found, ensure_ascii=False))
    # A number of up to ten characters, and quotes and separators, count as four.
    assert size <= 4 * MOST
    if len(json.dumps(value, ensure_ascii=False)) * 4 < MOST:
        assert found == value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("y" * 10_000_000, "y" * 196 + CUT),
        (b"y" * 10_000_000, "b'" + "y" * 194 + CUT),
        (list(range(1_000_000)), [*range(49), f"{CUT} 999951 more"]),
        ({"a": "y" * 300, "b": 1}, {"a": "y" * 191 + CUT, CUT: "1 more"}),
        ({"y" * 300: 1}, {CUT: "1 more"}),
        (10**2000, "1" + "0" * 195 + CUT),
        ({1, 2}, [1, 2]),
    ],
)
def test_omissions_are_marked(value: Any, found: Any) -> None:
    assert clip(value, MOST) == found


def test_data_that_contain_themselves_are_cut() -> None:
    endless: list[Any] = []
    endless.append(endless)
    text = json.dumps(clip(endless, 10_000))
    assert text.count("[") == MAX_DEPTH + 1


@dataclass
class Login:
    name: str
    password: str
    note: str = field(default="", repr=False)


def test_secrets_are_hidden_before_clipping() -> None:
    assert clip({"a_password": "hunter2" * 100, "b": 1}, MOST) == {"a_password": HIDDEN, "b": 1}
    assert clip(Login("me", "hunter2", "hunter2"), MOST) == {"name": "me", "password": HIDDEN}
