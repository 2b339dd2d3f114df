"""Tokens and roles, and the limit on wrong tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import UsageError
from amoc.service.tokens import (
    MAX_CLIENTS,
    MAX_WRONG,
    WRONG_PERIOD_S,
    Role,
    Tokens,
    WrongTokens,
    client_of,
)

ONE, OTHER = "one-0123456789abc", "other-0123456789abc"


def test_roles_are_parsed_and_the_highest_one_counts() -> None:
    tokens = Tokens.parse(f"# us\n\nread {ONE}\n run {OTHER} \n{ONE}\n", "tokens")
    assert tokens.role_of(ONE) is Role.ADMIN
    assert tokens.role_of(OTHER) is Role.RUN
    for wrong in ("", ONE[:-1], f"{ONE} ", "ü" * 20):
        assert tokens.role_of(wrong) is None
    assert ONE not in repr(tokens)


@pytest.mark.parametrize("text", ["", "# none", "short", f"boss {ONE}", f"read {ONE} {OTHER}"])
def test_errors_do_not_reveal_tokens(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Tokens.parse(text, "tokens")
    assert "token" in str(refusal.value)
    assert ONE not in str(refusal.value)


@given(st.lists(st.floats(0, 100), max_size=60))
def test_the_number_of_wrong_tokens_checked_per_period_is_bounded(gaps_s: list[float]) -> None:
    wrong, now_s, looked_at = WrongTokens(), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if not wrong.wait_s("client", now_s):
            wrong.note("client", now_s)
            looked_at.append(now_s)
    for begin_s in looked_at:
        within = [at for at in looked_at if begin_s <= at < begin_s + WRONG_PERIOD_S]
        assert len(within) <= 2 * MAX_WRONG  # a period of ours may end within that one


def test_other_clients_do_not_wait_and_memory_is_bounded() -> None:
    wrong = WrongTokens()
    for _ in range(MAX_WRONG):
        wrong.note("one", 0.0)
    assert wrong.wait_s("one", 1.0) == WRONG_PERIOD_S - 1
    assert wrong.wait_s("other", 1.0) == 0
    assert wrong.wait_s("one", WRONG_PERIOD_S) == 0
    for number in range(MAX_CLIENTS + 10):
        wrong.note(f"client {number}", 2.0)
    assert wrong.wait_s("one", 3.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::1", "::1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "192.0.2.1", False),
    ],
)
def test_an_ipv6_network_or_an_ipv4_address_is_one_client(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same
