from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmppd.jids import Jid, JidError, parse


@pytest.mark.parametrize(
    ("text", "jid"),
    [
        ("localhost", Jid("", "localhost", "")),
        ("user_1@localhost", Jid("user_1", "localhost", "")),
        ("User_1@LOCALHOST./Home", Jid("user_1", "localhost", "Home")),
        ("a@b/c@d/e", Jid("a", "b", "c@d/e")),
        ("\u00c4@b", Jid("\u00e4", "b", "")),
        ("a\u0308@b", Jid("\u00e4", "b", "")),
        ("a@[::1]", Jid("a", "[::1]", "")),
        ("a@127.0.0.1/x y", Jid("a", "127.0.0.1", "x y")),
    ],
)
def test_addresses_are_normalised(text: str, jid: Jid) -> None:
    assert parse(text) == jid
    assert parse(jid.full) == jid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@b",
        "a@",
        "/r",
        "a@b/",
        "a b@c",
        "a'b@c",
        "a&b@c",
        "a@b@c",
        "a@b c",
        "a@b/\n",
        "a@b/\x00",
        "a" * 1024 + "@b",
        "a@b/" + "r" * 1024,
        "a@" + "b" * 1024,
        "a\u200b@c",
        "a@<b>",
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(JidError):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_with_a_stable_spelling_or_refused(text: str) -> None:
    try:
        jid = parse(text)
    except JidError:
        return
    assert parse(jid.full) == jid
    assert parse(jid.bare).resource == ""
